/**
 * Random damage to valid files: each mutant is either refused with a typed error or read without contradiction, and none takes long.
 * WEBMOE_FUZZ sets the number of mutants; the everyday run takes fewer.
 */
import { expect, test } from 'vitest';
import { InvalidCheckpoint } from '../../../src/errors.ts';
import { prng } from '../../../src/util/prng.ts';
import { INDEX_FILE, openCheckpoint, SINGLE_FILE, type Checkpoint } from '../../../src/weights/checkpoint.ts';
import { dtypeBits } from '../../../src/weights/safetensors/dtype.ts';
import { concat, memorySource, rawFile, safetensors } from '../../support/weights.ts';

const MUTANTS = Number(process.env.WEBMOE_FUZZ ?? 20_000);
/** Far above what any takes on a slow machine; a hang is what this is to catch. */
const MOST_MS = 1000;

const bytes = (n: number): Uint8Array => Uint8Array.from({ length: n }, (_, i) => i * 7);
const U8 = (shape: number[]): { dtype: string; shape: number[]; bytes: Uint8Array } => ({
  dtype: 'U8',
  shape,
  bytes: bytes(shape.reduce((a, b) => a * b, 1)),
});

const SEEDS: readonly Uint8Array[] = [
  safetensors({ a: U8([4, 4]), b: { dtype: 'F32', shape: [3], bytes: bytes(12) } }, { metadata: { format: 'pt' } }),
  safetensors({
    'model.layers.0.mlp.experts.0.gate_proj.weight': { dtype: 'BF16', shape: [2, 8], bytes: bytes(32) },
    empty: U8([0]),
  }),
  safetensors(Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`t${i}`, U8([i % 5])]))),
  safetensors({ é: U8([3]), '\u{1f600}"\\\n': { dtype: 'I64', shape: [], bytes: bytes(8) } }, { padding: '\t\n ' }),
  rawFile('{}'),
];
const INDEX = new TextEncoder().encode(
  JSON.stringify({ metadata: { total_size: 3 }, weight_map: { a: 'x.safetensors', b: 'x.safetensors' } }),
);

const TOKENS = [
  '{',
  '}',
  '[',
  ']',
  '"',
  ':',
  ',',
  '\\',
  '\\u0061',
  '\\ud800',
  '-1',
  '1e9',
  '18446744073709551616',
  'null',
  'true',
  '"__proto__"',
  '"a":',
  '"dtype"',
  '"F64"',
  '"shape"',
  '[]',
  '[[[[',
  ' ',
  '\0',
  '\u00e9',
  '\u202e',
  '../',
  'http://x/',
];
const tokens = TOKENS.map((t) => new TextEncoder().encode(t));

/** One to four random changes: flips, cuts, moves, repeats, tokens, and lengths that fit the change or do not. */
function mutate(seed: Uint8Array, u: () => number): Uint8Array {
  const below = (n: number): number => Math.floor(u() * n);
  let out = seed.slice();
  for (let n = 1 + below(4); n > 0; n--) {
    const at = below(out.length + 1);
    const to = Math.min(out.length, at + below(20));
    const token = tokens[below(tokens.length)]!;
    switch (below(8)) {
      case 0:
        if (at < out.length) out[at]! ^= 1 << below(8);
        break;
      case 1:
        if (at < out.length) out[at] = below(256);
        break;
      case 2:
        out = out.slice(0, at);
        break;
      case 3:
        out = concat(out.subarray(0, at), out.subarray(to));
        break;
      case 4:
        out = concat(out.subarray(0, to), out.subarray(at));
        break;
      case 5:
        out = concat(out.subarray(0, at), token, out.subarray(at));
        break;
      case 6:
        out = concat(out.subarray(0, at), token, out.subarray(Math.min(out.length, at + token.length)));
        break;
      default:
        if (out.length >= 8)
          new DataView(out.buffer).setBigUint64(0, BigInt(Math.max(0, seed.length - 8 - below(40) + below(40))), true);
    }
  }
  return out;
}

/** What an accepted file must fulfil, whatever it says. */
function consistent(checkpoint: Checkpoint, size: number): boolean {
  let total = 0;
  for (const name of checkpoint.names()) {
    const { begin, end, shape, dtype } = checkpoint.tensor(name);
    if (!(begin >= 10 && begin <= end && end <= size)) return false;
    if ((end - begin) * 8 !== shape.reduce((a, b) => a * b, dtypeBits(dtype))) return false;
    total += end - begin;
  }
  return total <= size;
}

test(`${MUTANTS} damaged files`, { timeout: 600_000 }, async () => {
  const u = prng(2024);
  const found = new Map<string, number>();
  let slowest = 0;
  for (let i = 0; i < MUTANTS; i++) {
    const indexed = i % 6 === 5;
    const file = mutate(indexed ? INDEX : SEEDS[i % 6]!, u);
    const source = memorySource(indexed ? { [INDEX_FILE]: file, 'x.safetensors': SEEDS[0]! } : { [SINGLE_FILE]: file });
    const start = performance.now();
    let outcome: string;
    try {
      const checkpoint = await openCheckpoint(source);
      outcome = consistent(checkpoint, indexed ? SEEDS[0]!.length : file.length) ? 'accepted' : 'inconsistent';
    } catch (error) {
      outcome = error instanceof InvalidCheckpoint ? error.fault : `untyped: ${String(error)}`;
    }
    slowest = Math.max(slowest, performance.now() - start);
    found.set(outcome, (found.get(outcome) ?? 0) + 1);
  }
  const bad = [...found.keys()].filter((o) => o.startsWith('untyped') || o === 'inconsistent');
  expect(bad).toEqual([]);
  expect(slowest).toBeLessThan(MOST_MS);
  // The mutants reach deep: most rules are met, and some files survive.
  expect(found.get('accepted') ?? 0).toBeGreaterThan(MUTANTS / 100);
  const rules = [
    'header-json',
    'header-length',
    'header-too-large',
    'header-encoding',
    'duplicate-key',
    'size',
    'dtype',
    'truncated',
    'trailing-bytes',
    'missing-field',
    'index',
    'missing-tensor',
    'path',
  ];
  expect(rules.filter((r) => !found.has(r))).toEqual([]);
});
