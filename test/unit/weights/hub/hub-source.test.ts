/** A model on a Hub: what is asked, what is pinned, what its refusals mean, and where the token goes. */
import { afterEach, describe, expect, it } from 'vitest';
import { InvalidRequest, SourceError, UnsupportedModel } from '../../../../src/errors.ts';
import { openHub } from '../../../../src/weights/hub/hub-source.ts';
import type { HubModel } from '../../../../src/weights/hub/hub-model.ts';
import { readBytes } from '../../../../src/weights/source.ts';
import { fakeHub, type FakeHub, type FakeHubOptions } from '../../../support/fake-hub.ts';
import { faultServer } from '../../../support/fault-server.ts';
import { text, type Files } from '../../../support/models.ts';

const TOKEN = 'hf_tellNobody123';
const ID = 'org/tiny';
const retry = { attempts: 3, firstDelayMs: 5, maxDelayMs: 2000, stallMs: 2000 };
const weights = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 7) % 251);
const files: Files = { 'config.json': text({ v: 1 }), 'README.md': text('read me'), 'model.safetensors': weights };

const open: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of open.splice(0)) await close();
});

async function hubWith(options: FakeHubOptions = {}): Promise<{ hub: FakeHub; commit: string; model: HubModel }> {
  const hub = await fakeHub({ token: TOKEN, ...options });
  open.push(() => hub.close());
  const commit = hub.commit(ID, files);
  return { hub, commit, model: { hub: ID, endpoint: hub.url } };
}

const failure = async (work: Promise<unknown>): Promise<SourceError> => {
  const error: unknown = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(SourceError);
  return error as SourceError;
};

describe('what is asked', () => {
  it('the commit and the list, once; sizes cost nothing', async () => {
    const { hub, commit, model } = await hubWith();
    const source = await openHub(model, { retry });
    expect([source.label, source.key]).toEqual([`${hub.url}/${ID}@${commit}`, `${hub.url}/${ID}`]);
    expect(await source.size('model.safetensors')).toBe(weights.length);
    expect(await source.size('tokenizer.json')).toBeNull();
    expect(hub.paths()).toEqual([`api/models/${ID}/revision/main`, `api/models/${ID}/tree/${commit}`]);
    expect(await readBytes(source, 'model.safetensors', 1000, 250_000)).toEqual(weights.slice(1000, 250_000));
    expect(hub.paths().slice(2)).toEqual([`${ID}/resolve/${commit}/model.safetensors`]);
  });

  it('pages of a list, one after the other', async () => {
    const { hub, model } = await hubWith({ pageSize: 1 });
    const source = await openHub(model, { retry });
    expect(await source.size('model.safetensors')).toBe(weights.length);
    expect(hub.paths().filter((path) => path.includes('/tree/'))).toHaveLength(3);
  });

  it('one commit for all files, also when the branch moves', async () => {
    const { hub, commit, model } = await hubWith();
    const source = await openHub(model, { retry });
    hub.commit(ID, { ...files, 'config.json': text({ v: 2 }) });
    const size = (await source.size('config.json'))!;
    expect(new TextDecoder().decode(await readBytes(source, 'config.json', 0, size))).toBe('{"v":1}');
    expect(source.label.endsWith(commit)).toBe(true);
    expect((await openHub(model, { retry })).label.endsWith(commit)).toBe(false);
  });

  it('a revision with slashes, and a commit without looking it up', async () => {
    const { hub, model } = await hubWith();
    const pr = hub.commit(ID, files, 'refs/pr/1');
    expect((await openHub({ ...model, revision: 'refs/pr/1' }, { retry })).label).toMatch(new RegExp(`@${pr}$`));
    hub.reset();
    await openHub({ ...model, revision: pr }, { retry });
    expect(hub.paths()).toEqual([`api/models/${ID}/tree/${pr}`]);
  });

  it('versions are hashes of contents: other words in the README change no weights', async () => {
    const { hub, model } = await hubWith();
    const before = await openHub(model, { retry });
    hub.commit(ID, { ...files, 'README.md': text('read this') });
    const after = await openHub(model, { retry });
    expect(after.key).toBe(before.key);
    expect(after.version!('model.safetensors')).toMatch(/^oid [0-9a-f]{64}$/);
    expect(after.version!('model.safetensors')).toBe(before.version!('model.safetensors'));
    expect(after.version!('README.md')).not.toBe(before.version!('README.md'));
  });
});

describe('refusals', () => {
  it.each<[string, Partial<HubModel>, Partial<Record<'gated' | 'private', boolean>>, string, RegExp]>([
    ['gated, no token', {}, { gated: true }, 'gated', /Accept its terms at http.*org\/tiny and give an access token/],
    ['gated, another token', { token: 'hf_other' }, { gated: true }, 'gated', /with the account of the token/],
    ['private, no token', {}, { private: true }, 'no-such-model', /or it is private. No token was given/],
    ['private, another token', { token: 'hf_other' }, { private: true }, 'no-such-model', /A token was given/],
    ['misspelt', { hub: 'org/tinny' }, {}, 'no-such-model', /no model "org\/tinny" at "main"/],
    ['no such branch', { revision: 'v9' }, {}, 'no-such-revision', /no branch, tag or commit "v9"/],
  ])('%s', async (_, change, kind, reason, message) => {
    const { hub, model } = await hubWith();
    Object.assign(hub.repositories[ID]!, kind);
    const error = await failure(
      openHub({ ...model, ...change }, { retry }).then((source) => readBytes(source, 'config.json', 0, 2)),
    );
    expect(error.details.reason).toBe(reason);
    expect(error.message).toMatch(message);
    expect(error.message).not.toContain('hf_');
  });

  it('the token opens what is gated or private', async () => {
    const { hub, model } = await hubWith();
    for (const kind of ['gated', 'private'] as const) {
      Object.assign(hub.repositories[ID]!, { gated: false, private: false, [kind]: true });
      const source = await openHub({ ...model, token: TOKEN }, { retry });
      expect(await readBytes(source, 'model.safetensors', 0, 10)).toEqual(weights.slice(0, 10));
    }
  });

  it.each([
    [['pytorch_model.bin'], /PyTorch pickles, not as safetensors/],
    [['m-Q4_K_M.gguf'], /GGUF, not as safetensors: name one of its files.*m-Q4_K_M\.gguf/],
    [['README.md'], /has no safetensors/],
    [['sub/model.safetensors'], /has no safetensors/],
  ])('%s is no model', async (names, message) => {
    const { hub, model } = await hubWith();
    hub.commit(ID, Object.fromEntries(names.map((name) => [name, text('x')])));
    const error: unknown = await openHub(model, { retry }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(UnsupportedModel);
    expect((error as Error).message).toMatch(message);
  });

  it('one .gguf file of several is opened by its name', async () => {
    const { hub, model } = await hubWith();
    hub.commit(ID, { 'm-Q4_0.gguf': weights, 'm-Q8_0.gguf': text('x') });
    const source = await openHub({ ...model, file: 'm-Q4_0.gguf' }, { retry });
    expect(await readBytes(source, 'm-Q4_0.gguf', 0, 10)).toEqual(weights.slice(0, 10));
    const missing = openHub({ ...model, file: 'm-Q2_K.gguf' }, { retry });
    await expect(missing).rejects.toThrow(/no file m-Q2_K\.gguf; its \.gguf files: m-Q4_0\.gguf, m-Q8_0\.gguf/);
    await expect(openHub({ ...model, file: '../x' }, { retry })).rejects.toThrow(InvalidRequest);
  });

  it('too many requests: waits as told, and gives up in the end', async () => {
    let left = 1;
    const { model } = await hubWith({
      fault: ({ path }) =>
        path.startsWith('api/') && left-- > 0 ? { status: 429, headers: { 'retry-after': '1' } } : null,
    });
    const begin = performance.now();
    await openHub(model, { retry });
    expect(performance.now() - begin).toBeGreaterThan(990);
    left = Infinity;
    const hasty = { ...retry, maxDelayMs: 5 };
    expect((await failure(openHub(model, { retry: hasty }))).message).toMatch(
      /gave up after 3 tries: too many requests/,
    );
  });

  it.each([
    ['a web page', { status: 200, body: '<!doctype html>' }, /not JSON. Is the endpoint a Hub/],
    ['no commit', { status: 200, body: '{"sha":"main"}' }, /which commit/],
    ['another status', { status: 418 }, /status 418/],
  ])('an endpoint that answers with %s', async (_, wrong, message) => {
    const { model } = await hubWith({ fault: () => wrong });
    expect((await failure(openHub(model, { retry }))).message).toMatch(message);
  });
});

describe('transfers', () => {
  it('links that expire in the middle: the Hub is asked for a new one', async () => {
    const { hub, model } = await hubWith({ life: { uses: 1 } });
    const source = await openHub(model, { retry });
    for (let at = 0; at < 5; at++)
      expect(await readBytes(source, 'model.safetensors', at * 1000, at * 1000 + 999)).toHaveLength(999);
    expect(hub.links.refused).toBe(4);
    expect(hub.links.issued).toBe(5);
  });

  it('a file that is not as long as listed is refused', async () => {
    const { hub, commit, model } = await hubWith();
    const source = await openHub(model, { retry });
    hub.content.files[`${ID}/resolve/${commit}/model.safetensors`] = weights.slice(0, 200_000);
    expect((await failure(readBytes(source, 'model.safetensors', 0, 100))).message).toMatch(
      /size was 300000, is 200000/,
    );
  });

  it('servers without ranges are noticed by their first answer', async () => {
    const { hub, model } = await hubWith();
    const sign = hub.content.plan;
    hub.content.plan = (request, n) => (sign(request, n) === 'serve' ? 'whole' : { status: 403 });
    const source = await openHub(model, { retry });
    expect(await readBytes(source, 'model.safetensors', 500, 600)).toEqual(weights.slice(500, 600));
    expect(source.seeks!('model.safetensors')).toBe(false);
  });
});

describe('the token', () => {
  it('goes to the Hub in one header, and nowhere else', async () => {
    const { hub, model } = await hubWith();
    hub.repositories[ID]!.gated = true;
    const source = await openHub({ ...model, token: TOKEN }, { retry });
    await readBytes(source, 'model.safetensors', 0, 100);
    await readBytes(source, 'model.safetensors', 200, 300); // by the remembered link
    await readBytes(source, 'config.json', 0, 5);
    expect(hub.content.requests.length).toBeGreaterThanOrEqual(2);
    for (const { headers } of hub.front.requests) expect(headers.authorization).toBe(`Bearer ${TOKEN}`);
    expect(JSON.stringify(hub.content.requests.map((r) => [r.headers, r.path, [...r.query]]))).not.toContain(TOKEN);
    const shown = hub.front.requests.map((r) => [r.path, [...r.query], { ...r.headers, authorization: '' }]);
    expect(JSON.stringify([shown, source, source.label, source.key])).not.toContain(TOKEN);
  });

  it('is not taken along to a list that goes on elsewhere, nor by a redirect of the Hub itself', async () => {
    const thief = await faultServer({});
    open.push(() => thief.close());
    thief.plan = () => ({ status: 200, body: '[]' });
    const link = { link: `<${thief.url}next>; rel="next"` };
    const { model } = await hubWith({
      fault: ({ path }) => (path.includes('/tree/') ? { status: 200, headers: link, body: '[]' } : null),
    });
    expect((await failure(openHub({ ...model, token: TOKEN }, { retry }))).message).toMatch(/another server/);
    expect(thief.requests).toEqual([]);
    const sent = await hubWith({ fault: () => ({ status: 302, headers: { location: `${thief.url}api` } }) });
    await failure(openHub({ ...sent.model, token: TOKEN }, { retry }));
    expect(thief.requests.length).toBeGreaterThan(0);
    expect(JSON.stringify(thief.requests.map((r) => r.headers))).not.toContain(TOKEN);
  });
});

describe('when the Hub is away', () => {
  it('the commit of an earlier session is used, and nothing is asked in vain', async () => {
    const { hub, commit, model } = await hubWith();
    const { label } = await openHub(model, { retry });
    hub.front.plan = () => ({ status: 503 });
    const source = await openHub(model, { retry, remembered: label });
    expect(source.label).toBe(`${hub.url}/${ID}@${commit}`);
    hub.reset();
    await failure(source.size('config.json'));
    expect(hub.paths()).toEqual([]);
  });

  it('a Hub that hangs is not waited for', async () => {
    let hangs = false;
    const { model } = await hubWith({ fault: () => (hangs ? { latencyMs: 60_000, status: 200 } : null) });
    const { label } = await openHub(model, { retry });
    hangs = true;
    const begin = performance.now();
    expect((await openHub(model, { retry, remembered: label, checkMs: 100 })).label).toBe(label);
    expect(performance.now() - begin).toBeLessThan(1500);
  });

  it('without an earlier session, or with that of another model, it is an error', async () => {
    const { hub, commit, model } = await hubWith();
    await hub.close();
    open.length = 0;
    await failure(openHub(model, { retry }));
    await failure(openHub(model, { retry, remembered: `${hub.url}/org/other@${commit}` }));
  });

  it('one caller who gives up does not stop the list for another', async () => {
    const { model } = await hubWith();
    const { label } = await openHub(model, { retry });
    const source = await openHub(model, { retry, remembered: label });
    const stop = new AbortController();
    const first = source.size('config.json', stop.signal);
    const second = source.size('config.json');
    stop.abort(new Error('enough'));
    await expect(first).rejects.toThrow('enough');
    expect(await second).toBe(files['config.json']!.length);
  });
});
