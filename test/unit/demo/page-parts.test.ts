import { describe, expect, it } from 'vitest';
import { formatBytes, formatDuration, formatRate, formatSeconds } from '../../../demo/format.ts';
import { filesText, fileText } from '../../../demo/loading-files.ts';
import { progressLine } from '../../../demo/loading-view.ts';
import { nameOfUrl, readOptions } from '../../../demo/options.ts';
import { isContextFull, loadProblem, lostProblem } from '../../../demo/problem.ts';
import { ReloadGuard } from '../../../demo/reload-guard.ts';
import {
  DeviceCapability,
  InvalidCheckpoint,
  InvalidRequest,
  OutOfBudget,
  SourceError,
  UnsupportedModel,
  type FileProgress,
} from '../../../src/index.ts';

describe('numbers for people', () => {
  it.each([
    [0, '0 bytes'],
    [999, '999 bytes'],
    [1000, '1.00 kB'],
    [129_353_088, '129 MB'],
    [999_600_000, '1.00 GB'],
    [14e9, '14.0 GB'],
  ])('%d bytes', (bytes, text) => expect(formatBytes(bytes)).toBe(text));

  it.each([
    [0, '1 s'],
    [59.2, '1 min 00 s'],
    [125, '2 min 05 s'],
    [4200, '1 h 10 min'],
  ])('%d seconds', (seconds, text) => expect(formatDuration(seconds)).toBe(text));

  it('rates and waits', () => {
    expect(formatRate(3.44)).toBe('3.4 tokens/s');
    expect(formatRate(41.6)).toBe('42 tokens/s');
    expect(formatSeconds(254)).toBe('0.25 s');
    expect(formatSeconds(12_400)).toBe('12 s');
  });

  it('progress, with what is known', () => {
    const progress = { phase: 'weights', loadedBytes: 58.2e6, totalBytes: 129e6 } as const;
    expect(progressLine({ ...progress, bytesPerSecond: 12.4e6, remainingSeconds: 5.7 })).toBe(
      '58.2 MB of 129 MB · 12.4 MB/s · 6 s left',
    );
    const unknown = { ...progress, bytesPerSecond: null, remainingSeconds: null } as const;
    expect(progressLine(unknown)).toBe('58.2 MB of 129 MB');
    expect(progressLine({ ...unknown, phase: 'compile' })).toBe(
      '58.2 MB of 129 MB loaded; the rest follows while you chat',
    );
    expect(progressLine({ ...unknown, phase: 'ready', loadedBytes: 129e6 })).toBe('129 MB loaded');
    expect(progressLine({ ...unknown, phase: 'elsewhere' })).toBe('58.2 MB of 129 MB are on this computer');
    expect(progressLine({ ...unknown, phase: 'elsewhere', totalBytes: 0 })).toBe('');
    expect(progressLine({ ...unknown, phase: 'open', loadedBytes: 0, totalBytes: 0 })).toBe('');
  });
});

describe('the address', () => {
  const base = 'https://site.example/chat/';
  const shipped = `${base}models/smolmoe-135m-instruct/`;

  it.each([
    ['', shipped, false],
    ['?autoload=1', shipped, true],
    ['?model=other&autoload=1', `${base}other/`, true],
    ['?model=https://cdn.example/m&autoload=1', 'https://cdn.example/m/', false],
    ['?model=javascript:alert(1)', shipped, false],
    ['?model=file:///etc', shipped, false],
    ['?model=http://', shipped, false],
  ])('%s', (search, modelUrl, autoload) => {
    expect(readOptions(search, base)).toEqual({ modelUrl, autoload });
  });

  it('names a model by its folder', () => {
    expect(nameOfUrl('https://cdn.example/a/my%20model/')).toBe('my model');
    expect(nameOfUrl('https://cdn.example/')).toBe('cdn.example');
    expect(nameOfUrl('https://cdn.example/100%/')).toBe('100%');
  });
});

describe('problems', () => {
  it.each([
    [new SourceError('gone'), 'source'],
    [new InvalidCheckpoint('missing-file', 'no config.json'), 'invalid-checkpoint'],
    [new UnsupportedModel('mamba'), 'unsupported-model'],
    [new InvalidRequest('contextLength'), 'invalid-request'],
    [new DeviceCapability('limit', 'x'), 'device-capability'],
    [new TypeError('x is undefined'), 'fault'],
    ['a string', 'fault'],
  ])('%s', (error, id) => {
    const problem = loadProblem(error);
    expect(problem.id).toBe(id);
    expect(problem.steps.length).toBeGreaterThan(0);
    expect(problem.summary).not.toMatch(/\bat .*:\d+:\d+/);
  });

  it('says that there is no connection, where that is why', () => {
    const failed = new SourceError('https://example.org/m/config.json: the request failed');
    expect(loadProblem(failed, true)).toMatchObject({ id: 'offline', title: 'There is no connection' });
    expect(loadProblem(new UnsupportedModel('mamba'), true).id).toBe('unsupported-model');
  });

  it('shows both sides of a shortage, in readable sizes', () => {
    const budget = new OutOfBudget('takes 14000000000 bytes, the budget is 6000000000: raise it', {
      totalBytes: 14e9,
      budgetBytes: 6e9,
    });
    expect(loadProblem(budget)).toMatchObject({
      summary: 'takes 14.0 GB, the budget is 6.00 GB: raise it',
      needs: { needed: '14.0 GB', available: '6.00 GB' },
    });
    const limit = new DeviceCapability('limit', 'x', { limit: 'maxBuffers', needed: 16, available: 8 });
    expect(loadProblem(limit).needs).toEqual({ needed: '16', available: '8' });
    expect(loadProblem(new OutOfBudget('allocation failed')).needs).toBeUndefined();
  });

  it('tells a full context from other bad requests', () => {
    expect(isContextFull(new InvalidRequest('too long', { promptTokens: 9, contextLength: 8 }))).toBe(true);
    expect(isContextFull(new InvalidRequest('temperature', { temperature: -1 }))).toBe(false);
  });

  it('guards against reloading over and over', () => {
    let now = 0;
    const kept = new Map<string, string>();
    const stamps = {
      getItem: (key: string) => kept.get(key) ?? null,
      setItem: (k: string, v: string) => void kept.set(k, v),
    };
    const guard = new ReloadGuard(() => now, stamps);
    expect(guard.isTooSoon).toBe(false);
    guard.mark();
    now = 29_000;
    expect(guard.isTooSoon).toBe(true);
    // The page was reloaded.
    expect(new ReloadGuard(() => now, stamps).isTooSoon).toBe(true);
    now = 31_000;
    expect(guard.isTooSoon).toBe(false);
    expect(new ReloadGuard(() => now, stamps).isTooSoon).toBe(false);
    now = -5000;
    expect(guard.isTooSoon).toBe(false);
    expect(new ReloadGuard(() => now, null).isTooSoon).toBe(false);
    expect(lostProblem('unknown', '', true).id).not.toBe(lostProblem('unknown', '', false).id);
  });
});

describe('the files of a load', () => {
  const file = (loadedBytes: number, totalBytes: number): FileProgress => ({ name: 'x', loadedBytes, totalBytes });

  it('in words', () => {
    expect(filesText([])).toBe('Files');
    expect(filesText([file(1, 2)])).toBe('0 of 1 file complete');
    expect(filesText([file(2, 2), file(1, 2)])).toBe('1 of 2 files complete');
    expect(fileText(file(1e6, 5e9))).toBe('1.00 MB of 5.00 GB');
    expect(fileText(file(5e9, 5e9))).toBe('5.00 GB');
  });
});
