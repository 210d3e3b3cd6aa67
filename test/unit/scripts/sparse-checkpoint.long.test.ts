/** The sparse Mixtral: a checkpoint like any other to a reader, of which only a few megabytes exist, and whose experts differ. */
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { MIXTRAL_8X7B, USED_IDS, writeSparseCheckpoint } from '../../../scripts/sparse-checkpoint.mjs';
import { inspect } from '../../../src/engine/inspect.ts';
import { openModel } from '../../../src/engine/open.ts';
import { bf16ToF32 } from '../../../src/util/half.ts';
import { blockSource } from '../../../src/weights/block-source.ts';
import type { Checkpoint } from '../../../src/weights/checkpoint.ts';
import { forwardSource } from '../../../src/weights/forward-source.ts';
import { httpSource } from '../../../src/weights/http-source.ts';
import { pathSource } from '../../../src/weights/node-source.ts';
import { readBytes } from '../../../src/weights/source.ts';
import { faultServer } from '../../support/fault-server.ts';
import { filesOf } from '../../support/served-file.ts';
import { expectedTensors } from '../families/expected.ts';

const top = mkdtempSync(join(tmpdir(), 'webmoe-sparse-'));
afterAll(() => rmSync(top, { recursive: true }));

/** Of a graphics card. */
const LIMITS = { maxBufferSize: 2 ** 31, maxStorageBufferBindingSize: 2 ** 31 };
const SMALL = { layers: 2, hidden: 256, width: 512, heads: 8, kvHeads: 2, vocab: 300, shardBytes: 1e6 };

async function numbers(checkpoint: Checkpoint, name: string, begin = 0, end = Infinity): Promise<Float32Array> {
  const { file, begin: at, end: stop } = checkpoint.tensor(name);
  const bytes = await readBytes(checkpoint.source, file, at + 2 * begin, Math.min(stop, at + 2 * end));
  return Float32Array.from(new Uint16Array(bytes.buffer), bf16ToF32);
}

describe('8 layers of Mixtral-8x7B', () => {
  const out = join(top, 'large');
  const start = performance.now();
  const { bytes, shards } = writeSparseCheckpoint({ out });
  const seconds = (performance.now() - start) / 1000;
  const expertName = (layer: number, e: number, part: string): string =>
    `model.layers.${layer}.block_sparse_moe.experts.${e}.${part}.weight`;

  test('more than 20 GB of experts, a few megabytes on disk, in seconds', () => {
    const { layers, experts, hidden, width } = MIXTRAL_8X7B;
    expect(layers * experts * 3 * hidden * width * 2).toBeGreaterThan(20e9);
    const sizes = readdirSync(out).map((name) => statSync(join(out, name)));
    const taken = sizes.reduce((sum, s) => sum + 512 * s.blocks, 0);
    console.log(
      `${(bytes / 1e9).toFixed(1)} GB, of them ${(taken / 1e6).toFixed(1)} MB on disk, in ${seconds.toFixed(1)} s`,
    );
    expect(sizes.reduce((sum, s) => sum + s.size, 0)).toBe(bytes);
    expect(taken).toBeLessThan(40e6);
    expect(shards.length).toBe(5);
  });

  test('opens and plans as Mixtral', async () => {
    const { config, names, checkpoint } = await openModel(pathSource(out));
    const expected = expectedTensors(config, names);
    expect([...checkpoint.names()].sort()).toEqual([...expected.keys()].sort());
    for (const [name, shape] of expected) expect(checkpoint.tensor(name)).toMatchObject({ dtype: 'BF16', shape });
    const { family, fit } = await inspect(pathSource(out), LIMITS, { gpuBytes: 24 * 2 ** 30 });
    expect(family).toBe('mixtral');
    expect(fit.q4.verdict).toBe('fits');
  });

  test('is served from disk over a slow link: opened in seconds, from few bytes', async () => {
    const server = await faultServer(filesOf(out), { link: { bytesPerSecond: 10e6, latencyMs: 40 } });
    try {
      const start = performance.now();
      const source = blockSource(forwardSource(httpSource(server.url)));
      const { checkpoint } = await openModel(source);
      const took = performance.now() - start;
      const { requests, sent } = server.traffic();
      console.log(`opened in ${(took / 1000).toFixed(1)} s: ${requests} requests, ${(sent / 1e6).toFixed(1)} MB`);
      expect(sent).toBeLessThan(12e6);
      expect(took).toBeGreaterThan(sent / 10e3 - 100);
      const { begin, end, file } = checkpoint.tensor(expertName(7, 7, 'w2'));
      const [range, size] = [[begin, begin + 65_536], end - begin] as const;
      expect(size).toBe(2 * MIXTRAL_8X7B.hidden * MIXTRAL_8X7B.width);
      const got = await readBytes(source, file, ...range);
      expect(Buffer.compare(got, await readBytes(pathSource(out), file, ...range))).toBe(0);
    } finally {
      await server.close();
    }
  });

  test('every matrix has numbers of its own, all finite', async () => {
    const { checkpoint } = await openModel(pathSource(out));
    const seen = new Set<string>();
    for (let layer = 0; layer < 8; layer++) {
      for (let e = 0; e < 8; e++) {
        for (const part of ['w1', 'w2', 'w3']) {
          const found = await numbers(checkpoint, expertName(layer, e, part), 0, 2048);
          expect(found.every((x) => Math.abs(x) > 0 && Math.abs(x) < 2)).toBe(true);
          seen.add(found.subarray(0, 8).join());
        }
      }
      const router = await numbers(checkpoint, `model.layers.${layer}.block_sparse_moe.gate.weight`);
      expect(router.every((x) => x !== 0)).toBe(true);
    }
    expect(seen.size).toBe(8 * 8 * 3);
  });

  test('a down matrix has them in rows far apart', async () => {
    const { checkpoint } = await openModel(pathSource(out));
    const { width, hidden } = MIXTRAL_8X7B;
    for (const [row, written] of [
      [0, true],
      [1, false],
      [hidden / 16, true],
      [(15 * hidden) / 16, true],
    ] as const) {
      const found = await numbers(checkpoint, expertName(3, 5, 'w2'), row * width, row * width + 8);
      expect(found.some((x) => x !== 0)).toBe(written);
    }
  });
});

test('the same seed gives the same numbers, another one others; sizes may be small', async () => {
  const read = async (seed: number): Promise<{ down: string; head: Float32Array }> => {
    const out = join(top, `small-${seed}`);
    writeSparseCheckpoint({ out, seed, ...SMALL });
    const { checkpoint } = await openModel(pathSource(out));
    const down = await numbers(checkpoint, 'model.layers.1.block_sparse_moe.experts.7.w2.weight');
    return { down: down.join(), head: await numbers(checkpoint, 'lm_head.weight') };
  };
  const [first, again, other] = [await read(1), await read(1), await read(2)];
  expect(again.down).toBe(first.down);
  expect(other.down).not.toBe(first.down);
  const { hidden, vocab } = SMALL;
  expect(first.head.subarray(0, hidden)).toEqual(first.head.subarray(hidden, 2 * hidden).map((x) => -x));
  expect(first.head.subarray(USED_IDS * hidden, vocab * hidden).every((x) => x === 0)).toBe(true);
});

test('another type of numbers is refused', () => {
  expect(() => writeSparseCheckpoint({ out: top, dtype: 'int3' as 'bf16' })).toThrow(/none of bf16, f32/);
});
