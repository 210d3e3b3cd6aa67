/**
 * Random damage to valid GGUF files: each mutant is refused with a typed error or opens as a model without contradiction, and none takes long.
 * WEBMOE_FUZZ sets their number: a fourth of it; the everyday run takes fewer.
 */
import { expect, test } from 'vitest';
import { WebmoeError } from '../../../../src/errors.ts';
import { openModel } from '../../../../src/engine/open.ts';
import { loadTokenizer } from '../../../../src/text/tokenizer.ts';
import { prng } from '../../../../src/util/prng.ts';
import { openGguf } from '../../../../src/weights/gguf/checkpoint.ts';
import { ggufSource } from '../../../../src/weights/gguf/gguf-source.ts';
import { readBytes } from '../../../../src/weights/source.ts';
import { ggufFile, u32, u64, type GgufParts } from '../../../support/gguf.ts';
import { ggufParts } from '../../../support/gguf-fixture.ts';
import { filesOf, fixturePath } from '../../../support/models.ts';
import { concat, memorySource } from '../../../support/weights.ts';

/** A file with its tokenizer and a whole model takes as long as four of the other fuzzer's headers. */
const MUTANTS = Math.ceil(Number(process.env.WEBMOE_FUZZ ?? 6000) / 4);
/** Far above what any takes on a slow machine; a hang is what this is to catch. */
const MOST_MS = 3000;

const tokenizer = {
  'tokenizer.ggml.model': 'gpt2',
  'tokenizer.ggml.pre': 'smollm',
  'tokenizer.ggml.tokens': ['a', 'b', 'ab', '<s>', '</s>'],
  'tokenizer.ggml.token_type': [1, 1, 1, 3, 3],
  'tokenizer.ggml.merges': ['a b'],
  'tokenizer.ggml.bos_token_id': 3,
  'tokenizer.ggml.eos_token_id': 4,
};
const parts = ggufParts(filesOf(fixturePath('families/olmoe')), { metadata: tokenizer });
const pieces: GgufParts = {
  metadata: {
    ...parts.metadata,
    ...tokenizer,
    'tokenizer.ggml.model': 'llama',
    'tokenizer.ggml.scores': { f32s: [-1, -2, -3, 0, 0] },
  },
  tensors: { 'token_embd.weight': { type: 0, shape: [2, 4], bytes: new Uint8Array(32) } },
};
/** The first has all a model needs; its data is not damaged, to keep mutants short. */
const SEEDS = [ggufFile(parts), ggufFile(pieces)];
const HEADER_BYTES = [4096, ggufFile(pieces).length];
const VALUES = [u32(0), u32(9), u32(0xffffffff), u64(0), u64(2n ** 63n), u64(2 ** 31), u64(1), Uint8Array.of(0xff)];

function mutate(seed: Uint8Array, most: number, u: () => number): Uint8Array {
  const below = (n: number): number => Math.floor(u() * n);
  let out = seed.slice();
  for (let n = 1 + below(3); n > 0; n--) {
    const at = below(Math.min(most, out.length));
    const value = VALUES[below(VALUES.length)]!;
    switch (below(5)) {
      case 0:
        out[at]! ^= 1 << below(8);
        break;
      case 1:
        out[at] = below(256);
        break;
      case 2:
        out = concat(out.subarray(0, at), out.subarray(at + below(12)));
        break;
      case 3:
        out = concat(out.subarray(0, at), value, out.subarray(at));
        break;
      default:
        out.set(value.subarray(0, out.length - at), at);
    }
  }
  return out;
}

async function open(bytes: Uint8Array): Promise<void> {
  const source = memorySource({ 'm.gguf': bytes });
  const checkpoint = await openGguf(source, 'm.gguf');
  for (const name of checkpoint.names()) {
    const { begin, end } = checkpoint.tensor(name);
    expect(begin >= 24 && begin <= end && end <= bytes.length, name).toBe(true);
  }
  const folder = ggufSource(source, 'm.gguf');
  const size = await folder.size('tokenizer.json');
  const { config } = await openModel(folder);
  if (size !== null)
    loadTokenizer(new TextDecoder().decode(await readBytes(folder, 'tokenizer.json', 0, size)), null, config.vocab);
}

test('the seed that is a model opens', async () => {
  await open(SEEDS[0]!);
});

test(`${MUTANTS} damaged files`, { timeout: 600_000 }, async () => {
  const u = prng(77);
  let opened = 0;
  for (let i = 0; i < MUTANTS; i++) {
    const bytes = mutate(SEEDS[i % 2]!, HEADER_BYTES[i % 2]!, u);
    const before = performance.now();
    try {
      await open(bytes);
      opened++;
    } catch (error) {
      if (!(error instanceof WebmoeError)) throw new Error(`mutant ${i}`, { cause: error });
    }
    expect(performance.now() - before, `mutant ${i}`).toBeLessThan(MOST_MS);
  }
  // Damage to names and numbers that nothing depends on.
  expect(opened).toBeGreaterThan(0);
});
