/** `webmoe pack` and `--cache`: a packed model starts without its weights, and whatever goes wrong with the cache, it runs. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { diskStorage } from '../../src/node.ts';
import type { LoadOptions } from '../../src/engine/load.ts';
import type { Model } from '../../src/engine/model.ts';
import { cli } from '../support/cli.ts';
import { openModelGpu } from '../support/gpu.ts';
import { withLetters } from '../support/letters.ts';
import { filesOf, fixturePath, withModel } from '../support/models.ts';

// The command line compiles every shader anew; where the command is not the point, models share this device.
const gpu = await openModelGpu();

const folder = mkdtempSync(join(tmpdir(), 'webmoe-pack-'));
afterAll(() => rmSync(folder, { recursive: true }));
const fresh = (name: string): string => mkdtempSync(join(folder, name));

/** A copy of the fixture that can chat. Its files are of a whole second, so that their time can be set again. */
function newModel(): string {
  const path = fresh('model-');
  for (const [file, bytes] of Object.entries(withLetters(filesOf(fixturePath('families/olmoe'))))) {
    writeFileSync(join(path, file), bytes);
    utimesSync(join(path, file), 1_700_000_000, 1_700_000_000);
  }
  return path;
}

/** Turns every weight of the checkpoint to junk; sizes, headers and times stay. */
function ruin(model: string): void {
  const shards = readdirSync(model).filter((name) => /^model.*\.safetensors$/.test(name));
  expect(shards.length).toBe(2);
  for (const name of shards) {
    const bytes = readFileSync(join(model, name));
    const data = 8 + Number(bytes.readBigUInt64LE(0));
    for (let i = data; i < bytes.length; i++) bytes[i] = (bytes[i]! ^ 0x2b) & 0xff;
    writeFileSync(join(model, name), bytes);
    utimesSync(join(model, name), 1_700_000_000, 1_700_000_000);
  }
}

const PROMPT = 'abcdefghabab';
const ask = (model: string, ...more: string[]): string[] => [
  'run',
  ...['--model', model, '--prompt', PROMPT, '--temperature', '0', '--max-tokens', '12', ...more],
];

/** What the command line would answer, and what it would say of the cache. */
async function answer(
  model: string,
  options: Partial<LoadOptions> = {},
): Promise<{ text: string; note: string | null }> {
  return withModel(gpu, model, { collect: false, ...options }, async (m: Model) => {
    const tokens = m.generate([{ role: 'user', content: PROMPT }], { temperature: 0, maxTokens: 12 });
    for (;;) {
      const next = await tokens.next();
      if (next.done) return { text: next.value.text, note: m.expertStats()!.storage.note };
    }
  });
}

describe('a packed model', () => {
  it('answers alike from its records alone, resident and streaming', async () => {
    const model = newModel();
    const cache = fresh('cache-');
    const want = await answer(model);
    const packed = await cli(['pack', model, '--out', cache]);
    expect(packed).toMatchObject({ code: 0, err: '' });
    const [, present, total] = /^(\S+ \S+) of (\S+ \S+) in .*\n$/.exec(packed.out)!;
    expect(present).toBe(total); // every expert, and everything else
    expect(packed.out).not.toContain('the rest');
    ruin(model);
    expect((await answer(model)).text).not.toBe(want.text); // the control: the junk does change answers
    for (const options of [
      {},
      { expertsResident: 0.25, mode: 'lockstep' },
      { expertsResident: 0, mode: 'optimistic' },
    ] as const) {
      expect(await answer(model, { storage: diskStorage(cache), ...options })).toEqual(want);
    }
    const got = await cli(ask(model, '--cache', cache, '--experts-resident', '0.5', '--policy', 'lru'));
    expect([got.code, got.out]).toEqual([0, `${want.text}\n`]);
    expect(got.err.split('\n').length).toBe(2); // the figures, no note
  });
});

describe('--disk-budget', () => {
  it('ends packing early, says so, and what was kept is used', async () => {
    const model = newModel();
    const cache = fresh('cache-');
    const want = await answer(model);
    const packed = await cli(['pack', model, '--out', cache, '--disk-budget', '4500kB']);
    expect(packed.code).toBe(0);
    expect(packed.out).toContain('the rest is made when it is needed');
    expect(packed.err).toMatch(/^The .* of disk that the model may take are full: .*\n$/);
    const got = await answer(model, { storage: diskStorage(cache), diskBytes: 4.5e6, expertsResident: 0.25 });
    expect(got.text).toBe(want.text);
  });
});

describe('a cache that another process has open', () => {
  // Locks are files: whoever has one is another process to every other lock object.
  it('is named, and the model runs without it', async () => {
    const model = newModel();
    const cache = fresh('cache-');
    const want = await answer(model);
    await withModel(gpu, model, { storage: diskStorage(cache) }, async () => {
      const got = await cli(ask(model, '--cache', cache));
      expect([got.code, got.out]).toEqual([0, `${want.text}\n`]);
      expect(got.err).toMatch(/^Weights are not kept on disk: .* is open in another tab or process.*\n\[/);
    });
    // Given back when it ended.
    expect((await answer(model, { storage: diskStorage(cache) })).note).toBeNull();
  });

  it('a folder that cannot be written is no reason not to run', async () => {
    const model = newModel();
    const file = join(folder, 'not-a-folder');
    writeFileSync(file, '');
    const got = await answer(model, { storage: diskStorage(file) });
    expect(got.text).toBe((await answer(model)).text);
    expect(got.note).toMatch(/^Weights are not kept on disk: .*not-a-folder/);
  });
});

describe('bad input', () => {
  const olmoe = fixturePath('families/olmoe');
  it.each<[string[], RegExp]>([
    [['pack'], /--out is required/],
    [['pack', '--out', join(folder, 'x')], /which model to pack/],
    [['pack', olmoe, '--out', join(folder, 'x'), '--disk-budget', 'much'], /--disk-budget must be a number of bytes/],
    [['pack', join(folder, 'nowhere'), '--out', join(folder, 'x')], /nowhere/],
    [
      ['run', '--model', olmoe, '--experts-resident', '1.5'],
      /--experts-resident must be a number of at most 1, got 1.5/,
    ],
    [
      ['run', '--model', olmoe, '--experts-resident=-0.5'],
      /--experts-resident must be a number of at least 0, got -0.5/,
    ],
    [['run', '--model', olmoe, '--experts-resident', 'all'], /--experts-resident must be a number/],
    [
      ['run', '--model', olmoe, '--mode', 'fast'],
      /--mode must be one of auto, resident, optimistic, lockstep, got fast/,
    ],
    [['run', '--model', olmoe, '--policy', 'fifo'], /--policy must be one of next-use, lru, lfu, static-hot, got fifo/],
    [
      ['run', '--model', olmoe, '--gpu-budget', '6GX'],
      /--gpu-budget must be a number of bytes, as in 6000000000, 500MB or 6GiB, got 6GX/,
    ],
    [['run', '--model', olmoe, '--keep-experts', '0'], /--keep-experts must be a whole number of at least 1/],
    [['run', '--model', olmoe, '--drop-below=-1'], /--drop-below must be a number of at least 0/],
  ])('webmoe %j ends with 2 and one line', async (argv, message) => {
    const { code, out, err } = await cli(argv);
    expect(err).toMatch(message);
    expect([code, out, err.split('\n').length]).toEqual([2, '', 2]);
  });
});
