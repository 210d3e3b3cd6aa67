import { describe, expect, it } from 'vitest';
import { readEndpoint } from '../../../demo/models/access.ts';
import { CATALOGUE } from '../../../demo/models/catalogue.ts';
import { DEFAULT_ENDPOINT, hubChoice, keyOf, urlChoice } from '../../../demo/models/choice.ts';
import { Download, type DownloadState } from '../../../demo/models/download.ts';
import { choiceOf, keptOf } from '../../../demo/models/recent.ts';
import { NOT_UNDERSTOOD, readTyped } from '../../../demo/models/typed.ts';
import { arithmetic, formatParameters, loadText, sorted, verdictText } from '../../../demo/models/words.ts';
import { SourceError, type StoredModel } from '../../../src/index.ts';

const HUB = { endpoint: DEFAULT_ENDPOINT, token: null };

describe('what is typed', () => {
  it.each([
    ['org/name', { hub: 'org/name' }],
    [' org/name@v1.0 ', { hub: 'org/name', revision: 'v1.0' }],
    ['https://huggingface.co/org/name', { hub: 'org/name' }],
    ['https://huggingface.co/org/name/tree/dev', { hub: 'org/name', revision: 'dev' }],
    ['https://example.org/m', 'https://example.org/m/'],
    ['https://example.org/m/config.json', 'https://example.org/m/'],
    ['https://example.org/m/#x', 'https://example.org/m/'],
  ])('%s', (text, source) => expect(readTyped(text, HUB)).toMatchObject({ source }));

  it.each([
    ['', 'first'],
    ['name', NOT_UNDERSTOOD],
    ['../a/b', NOT_UNDERSTOOD],
    ['javascript:alert(1)', NOT_UNDERSTOOD],
    ['https://', 'whole address'],
    ['https://me:secret@example.org/m', 'leave that out'],
  ])('%s is refused', (text, why) => expect(readTyped(text, HUB)).toContain(why));

  it('an address of another Hub is one of its models', () => {
    const access = { endpoint: 'https://hub.example', token: 't' };
    expect(readTyped('https://hub.example/org/name', access)).toMatchObject({
      source: { hub: 'org/name', endpoint: 'https://hub.example', token: 't' },
    });
    expect(readTyped('https://huggingface.co/org/name', access)).toEqual(urlChoice('https://huggingface.co/org/name/'));
  });

  it('an endpoint', () => {
    expect(readEndpoint('')).toBe(DEFAULT_ENDPOINT);
    expect(readEndpoint('https://hub.example/base/')).toBe('https://hub.example/base');
    for (const wrong of ['hub.example', 'ftp://a', 'https://a/?q', 'https://u:p@a'])
      expect(readEndpoint(wrong)).toBe(null);
  });
});

describe('names', () => {
  const stored = (source: string): StoredModel => ({
    id: source,
    source,
    precision: 'q4',
    bytes: 1,
    totalBytes: 2,
    lastUsed: new Date(),
    inUse: false,
  });

  it.each(['https://huggingface.co/org/name', 'https://huggingface.co/org/name@v1', 'https://example.org/m/'])(
    '%s is opened again as what it was',
    (source) => {
      const choice = choiceOf(stored(source), HUB)!;
      expect(keyOf(choice)).toBe(source);
      expect(keptOf([stored(source)], choice, 'q4')).toBeDefined();
      expect(keptOf([stored(source)], choice, 'q8')).toBeUndefined();
    },
  );

  it('a folder has to be picked again, and a token is no part of a name', () => {
    expect(choiceOf(stored('my-folder'), HUB)).toBe(null);
    expect(keyOf(hubChoice('a/b', { ...HUB, token: 'secret' }))).not.toContain('secret');
  });

  it('the token of one Hub is not for another', () => {
    const access = { endpoint: 'https://hub.example', token: 'secret' };
    expect(JSON.stringify(choiceOf(stored('https://huggingface.co/a/b'), access))).not.toContain('secret');
    expect(JSON.stringify(choiceOf(stored('https://hub.example/a/b'), access))).toContain('secret');
  });
});

describe('the list in words', () => {
  const named = (part: string): (typeof CATALOGUE)[number] => CATALOGUE.find(({ id }) => id.includes(part))!;

  it('adds up', () => {
    for (const { figures } of CATALOGUE) {
      const bytes = arithmetic(figures).map(([, n]) => n);
      expect(bytes[0]! + bytes[1]! + bytes[2]! + bytes[3]!).toBe(bytes[4]);
      expect(bytes[4]! <= bytes[5]!).toBe(figures.plan.verdict !== 'does-not-fit');
    }
  });

  it('says what a verdict means, and no speed of what does not run', () => {
    expect(verdictText(named('OLMoE').figures)).toBe('All of it takes 5.12 GB of a budget of 6.44 GB.');
    expect(verdictText(named('Qwen3').figures)).toContain('1645 of 6144 experts');
    expect(verdictText(named('GLM').figures)).toContain('The least that it takes is 6.52 GB');
    expect(loadText(named('GLM').figures, true)).toBe('214 GB download');
    expect(loadText(named('OLMoE').figures, false)).not.toContain('tokens');
    expect([formatParameters(1.28e9), formatParameters(106.85e9)]).toEqual(['1.3 B', '107 B']);
  });

  it('can be ordered', () => {
    const firsts = (['size', 'speed', 'name'] as const).map((key) => sorted(CATALOGUE, key)[0]!.name);
    expect(firsts).toEqual(['gpt-oss 20B', 'OLMoE 1B-7B Instruct', 'DeepSeek V2 Lite Chat']);
  });
});

describe('a download', () => {
  interface Attempt {
    resolve(value: string): void;
    reject(error: unknown): void;
  }

  function start(isOnline = true): {
    download: Download<string>;
    states: DownloadState[];
    attempts: Attempt[];
    network: EventTarget;
  } {
    const states: DownloadState[] = [];
    const attempts: Attempt[] = [];
    const network = new EventTarget();
    const attempt = (signal: AbortSignal): Promise<string> =>
      new Promise((resolve, reject) => {
        attempts.push({ resolve, reject });
        signal.addEventListener('abort', () => reject(signal.reason as Error));
      });
    const onState = (state: DownloadState): void => void states.push(state);
    return {
      download: new Download(attempt, { onState, network, isOnline: () => isOnline }),
      states,
      attempts,
      network,
    };
  }
  const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve));

  it('pauses and goes on', async () => {
    const { download, states, attempts } = start();
    const run = download.run();
    download.pause();
    await turn();
    expect(attempts).toHaveLength(1);
    download.resume();
    await turn();
    attempts[1]!.resolve('model');
    expect(await run).toBe('model');
    expect(states).toEqual(['running', 'stopping', 'paused', 'running']);
  });

  it.each([false, true])('is given up, paused before: %s', async (isPaused) => {
    const { download, attempts } = start();
    const run = download.run();
    if (isPaused) {
      download.pause();
      await turn();
    }
    download.cancel();
    expect(await run).toBe(null);
    expect(attempts).toHaveLength(1);
  });

  it('waits for the network, and only then', async () => {
    const away = start(false);
    const run = away.download.run();
    away.attempts[0]!.reject(new SourceError('no connection'));
    await turn();
    expect(away.states).toEqual(['running', 'offline']);
    away.network.dispatchEvent(new Event('online'));
    await turn();
    away.attempts[1]!.reject(new TypeError('a fault of ours'));
    await expect(run).rejects.toThrow('a fault of ours');
    const there = start(true);
    const failing = there.download.run();
    there.attempts[0]!.reject(new SourceError('status 503'));
    await expect(failing).rejects.toThrow('503');
  });

  it('is given up while it waits for the network', async () => {
    const { download, attempts } = start(false);
    const run = download.run();
    attempts[0]!.reject(new SourceError('no connection'));
    await turn();
    download.cancel();
    expect(await run).toBe(null);
  });
});
