import { describe, expect, it, test } from 'vitest';
import { readOptions, usage, type OptionSpec } from '../../../src/cli/args.ts';
import { formatBytes, formatCount, formatSeconds, parseIds, progressLine } from '../../../src/cli/common.ts';
import { InvalidRequest } from '../../../src/errors.ts';

const SPECS: Record<string, OptionSpec> = {
  name: { type: 'text', value: 'TEXT', help: 'a name', required: true },
  count: { type: 'whole', value: 'N', help: 'how many', min: 1 },
  share: { type: 'number', help: 'how much', min: 0 },
  mode: { type: 'choice', help: 'which', choices: ['a', 'b'] },
  loud: { type: 'flag', help: 'louder' },
};
const read = (argv: readonly string[], positionals = 0): ReturnType<typeof readOptions> =>
  readOptions(argv, SPECS, positionals);

describe('readOptions', () => {
  it('reads every type', () => {
    const o = read(['--name', 'x', '--count=3', '--share', '0.5', '--mode', 'b', '--loud', 'extra'], 1);
    expect([
      o.text('name'),
      o.number('count'),
      o.number('share'),
      o.text('mode'),
      o.flag('loud'),
      o.positionals,
    ]).toEqual(['x', 3, 0.5, 'b', true, ['extra']]);
    const bare = read(['--name', '']);
    expect([bare.text('name'), bare.number('count'), bare.flag('loud')]).toEqual(['', undefined, false]);
  });

  it.each<[string[], RegExp]>([
    [[], /^--name is required$/],
    [['--name'], /--name/],
    [['--nam', 'x'], /--nam/],
    [['--name', 'x', '--count', '0'], /^--count must be a whole number of at least 1, got 0$/],
    [['--name', 'x', '--count', '1.5'], /--count must be a whole number/],
    [['--name', 'x', '--count', ''], /--count must be a whole number/],
    [['--name', 'x', '--count', '1e999'], /--count/],
    [['--name', 'x', '--share=-1'], /--share must be a number of at least 0, got -1/],
    [['--name', 'x', '--share', 'NaN'], /--share/],
    [['--name', 'x', '--mode', 'c'], /^--mode must be one of a, b, got c$/],
    [['--name', 'x', '--loud=yes'], /--loud/],
    [['--name', 'x', 'extra'], /extra/],
  ])('refuses %j', (argv, message) => {
    let error: unknown;
    try {
      read(argv);
    } catch (e) {
      error = e;
    }
    expect(error).toBeInstanceOf(InvalidRequest);
    expect((error as InvalidRequest).message).toMatch(message);
  });

  it('reads bytes, alone or with a unit', () => {
    const specs: Record<string, OptionSpec> = { size: { type: 'bytes', help: 'how large' } };
    const size = (raw: string): number | undefined => readOptions([`--size=${raw}`], specs, 0).number('size');
    expect(
      ['0', '6000000000', '500MB', '6GiB', '1.5 kib', '2tb', '3TiB', '7B', '1MiB', ' 12kB ', '0.5b'].map(size),
    ).toEqual([0, 6e9, 5e8, 6 * 2 ** 30, 1536, 2e12, 3 * 2 ** 40, 7, 2 ** 20, 12_000, 0]);
    for (const bad of ['', 'GB', '-1', '6GX', '1e9', '6 G iB', '1,5GB', '.5GB', 'NaN', '6GiB!'])
      expect(() => size(bad), bad).toThrow(/^--size must be a number of bytes, as in 6000000000, 500MB or 6GiB, got /);
  });

  it('refuses what is above the most', () => {
    const specs: Record<string, OptionSpec> = { share: { type: 'number', help: 'how much', min: 0, max: 1 } };
    const share = (raw: string): number | undefined => readOptions([`--share=${raw}`], specs, 0).number('share');
    expect(['0', '0.25', '1'].map(share)).toEqual([0, 0.25, 1]);
    expect(() => share('1.01')).toThrow(/^--share must be a number of at most 1, got 1.01$/);
    expect(() => share('-0.01')).toThrow(/^--share must be a number of at least 0, got -0.01$/);
  });

  it('refuses a second argument where one is wanted', () => {
    expect(() => read(['--name', 'x', 'one', 'two'], 1)).toThrow('unexpected argument two');
  });
});

test('usage names every option', () => {
  const lines = usage('do', 'DIR', SPECS).split('\n');
  expect(lines[0]).toBe('usage: webmoe do DIR [options]');
  expect(lines.slice(1).map((l) => l.trim().split(' ')[0])).toEqual(Object.keys(SPECS).map((n) => `--${n}`));
});

test('sizes in words', () => {
  expect([0, 999, 1000, 129_172_000, 13.8e9, 5e15].map(formatBytes)).toEqual([
    '0 bytes',
    '999 bytes',
    '1.00 kB',
    '129 MB',
    '13.8 GB',
    '5.00e+3 TB',
  ]);
  expect([12, 134_515_008, 6.92e9].map(formatCount)).toEqual(['12', '135 M', '6.92 B']);
  expect([0.2, 59, 60, 61, 119.5].map(formatSeconds)).toEqual(['1 s', '59 s', '1 min 0 s', '1 min 1 s', '2 min 0 s']);
});

test('token ids come from a JSON array', () => {
  expect(parseIds('[1, 2, 3]', 'f')).toEqual([1, 2, 3]);
  for (const bad of ['', '{}', '[1.5]', '[-1]', '["1"]', '[1,]'])
    expect(() => parseIds(bad, 'ids.json')).toThrow(/ids\.json/);
});

test('progress in one line', () => {
  const p = { loadedBytes: 43e6, totalBytes: 129e6, bytesPerSecond: 10.6e6, remainingSeconds: 8.1 };
  expect(progressLine({ ...p, phase: 'weights' })).toBe(
    '[########................] 43.0 MB of 129 MB  10.6 MB/s  9 s left',
  );
  const early = { ...p, phase: 'weights' as const, loadedBytes: 0, bytesPerSecond: null, remainingSeconds: null };
  expect(progressLine(early)).toBe('[........................] 0 bytes of 129 MB');
  expect(progressLine({ ...p, phase: 'compile' })).toBe('compiling shaders');
  const all = { ...p, phase: 'weights' as const, loadedBytes: 129e6, remainingSeconds: 0 };
  expect(progressLine(all)).toBe('[########################] 129 MB of 129 MB  10.6 MB/s');
});
