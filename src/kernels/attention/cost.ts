import { alignUp, ceilDiv, sum } from '../../util/math.ts';
import { CHUNK } from '../../weights/layout.ts';
import { added, BYTES, moves, weightRowBytes, type ConstantsOf, type Cost, type CostRule } from '../cost.ts';
import { firstVisible } from './attention_plan.ts';

const WORKGROUP = 64;
/** Keys of one turn of the decode kernel. */
const DECODE_KEYS = 32;

/** A window beyond every position is none: subtracting it gives 0. */
const begins = (c: ConstantsOf, position: number): number =>
  firstVisible(position, c.number('WINDOW'), c.flag('CHUNKED'));

/** Visible keys of each token of the step. */
const visible = (c: ConstantsOf): number[] =>
  Array.from({ length: c.tokens }, (_, t) => c.position + t + 1 - begins(c, c.position + t));

const splitsOf = (c: ConstantsOf): number =>
  Math.floor((c.position + c.tokens - 1) / c.number('CHUNK')) -
  Math.floor(begins(c, c.position) / c.number('CHUNK')) +
  1;

/** Values of a token's partial sums: [heads, splits, value size + 2]. */
const partialValues = (c: ConstantsOf): number => c.number('HEADS') * splitsOf(c) * (c.number('VALUE_SIZE') + 2);

/** What a token's q, k and v are made from, where the kernel makes them: projections, and a row of the rope table. */
function sourceValues(c: ConstantsOf): number {
  const [heads, kvHeads] = [c.number('HEADS'), c.number('KV_HEADS')];
  const table = c.has('PAIRS') ? 2 * c.number('PAIRS') : 0;
  if (c.has('SIZE')) return (heads + 2 * kvHeads) * c.number('SIZE') + table;
  const [nope, rope] = [c.number('NOPE'), c.number('ROPE')];
  return heads * (nope + rope) + c.number('KV_RANK') + rope + table;
}

/** Some rows of each head of the matrix that latents go through. */
function passesThrough(c: ConstantsOf, heads: number, rows: number, issued: number): Cost {
  return {
    ...moves({ weightBytes: heads * rows * weightRowBytes(c) }),
    usefulFlops: 2 * c.tokens * heads * rows * c.number(c.has('KV_RANK') ? 'KV_RANK' : 'K'),
    issuedFlops: 2 * issued * c.number('W_CHUNKS') * CHUNK,
  };
}

/** Of latents, where the decode kernel takes queries down itself: in every split, so that it issues that many times the flops. */
function absorbs(c: ConstantsOf): Cost {
  if (!c.isOn('LATENT')) return moves({});
  const [heads, nope] = [c.number('HEADS'), c.number('NOPE')];
  const down = passesThrough(c, heads, nope, splitsOf(c) * c.tokens * heads * nope);
  return added(down, moves({ weightBytes: BYTES * c.number('KV_RANK') }));
}

/** ... and results up, once all keys were seen. A lane has four rows of a pass. */
function raises(c: ConstantsOf): Cost {
  const [heads, value] = [c.number('HEADS'), c.number('VALUE')];
  const pass = (WORKGROUP / c.number('TEAM')) * 4;
  return passesThrough(c, heads, value, c.tokens * heads * alignUp(value, pass));
}

const tokenBytesOf = (c: ConstantsOf): number => BYTES * c.number('KV_HEADS') * (c.number('k_ROW') + c.number('v_ROW'));

/** Of one token, in the caches: what a latent is, counts once as key and value. */
function tokenBytes(c: ConstantsOf): number {
  const key = c.number('k_ROW');
  const isInKey = c.isOn('LATENT') || (c.number('v_ROW') === key && c.number('KEY_SIZE') !== c.number('VALUE_SIZE'));
  return BYTES * c.number('KV_HEADS') * (isInKey ? key : key + c.number('v_ROW'));
}

/**
 * Keys and values count once, whether they are read or, the step's own where the kernel makes them, written.
 * @param outputs values that a token's sums are written to
 */
function attends(c: ConstantsOf, outputs: number, issuedFlops: number): Cost {
  const [heads, keySize, valueSize] = [c.number('HEADS'), c.number('KEY_SIZE'), c.number('VALUE_SIZE')];
  const keys = c.position + c.tokens - begins(c, c.position);
  const inputs = c.isOn('FRESH') ? sourceValues(c) : heads * keySize;
  const gammas = c.isOn('GAINS') ? c.number('Q_NORM') + c.number('K_NORM') : 0;
  return {
    weightBytes: BYTES * ((c.flag('SINKS') ? heads : 0) + gammas),
    kvBytes: keys * tokenBytes(c),
    activationBytes: BYTES * c.tokens * (inputs + outputs),
    usefulFlops: 2 * heads * sum(visible(c)) * (keySize + valueSize),
    issuedFlops,
  };
}

/** Keys and values of a few tokens, which the dispatch behind it makes once more, each for its own token. */
function appends(c: ConstantsOf): Cost {
  const gammas = c.isOn('GAINS') ? c.number('K_NORM') : 0;
  return moves({
    weightBytes: BYTES * gammas,
    kvBytes: c.tokens * tokenBytes(c),
    activationBytes: BYTES * c.tokens * sourceValues(c),
  });
}

/** Keys in whole turns of 32, from the first of each split; the last lanes of a value beyond a multiple of 64 idle. */
function decode(c: ConstantsOf): Cost {
  if (c.isOn('APPEND_ONLY')) return appends(c);
  const heads = c.number('HEADS');
  const chunk = c.number('CHUNK');
  const turns = sum(
    visible(c).map((n, t) => {
      const end = c.position + t + 1;
      let keys = 0;
      for (let from = end - n; from < end; from = alignUp(from + 1, chunk))
        keys += alignUp(Math.min(end, alignUp(from + 1, chunk)) - from, DECODE_KEYS);
      return keys;
    }),
  );
  const splits = splitsOf(c) > 1;
  const issued = 2 * heads * turns * (c.number('KEY_SIZE') + alignUp(c.number('VALUE_SIZE'), WORKGROUP));
  const isLatent = c.isOn('LATENT');
  const outputs = splits ? partialValues(c) : heads * c.number(isLatent ? 'VALUE' : 'VALUE_SIZE');
  const attended = added(attends(c, outputs, issued), absorbs(c));
  return isLatent && !splits ? added(attended, raises(c)) : attended;
}

/** Tiles of QUERIES tokens against 1024 / QUERIES keys, from the first key that the tile's first token sees. */
function prefill(c: ConstantsOf): Cost {
  const [heads, queries] = [c.number('HEADS'), c.number('QUERIES')];
  const keys = 1024 / queries;
  const slices = ceilDiv(c.number('KEY_SIZE'), c.number('SLICE')) * c.number('SLICE');
  const values = alignUp(c.number('VALUE_SIZE'), WORKGROUP);
  let pairs = 0;
  for (let t = 0; t < c.tokens; t += queries) {
    const end = c.position + Math.min(t + queries, c.tokens);
    pairs += queries * alignUp(end - begins(c, c.position + t), keys);
  }
  return attends(c, heads * c.number('VALUE_SIZE'), 2 * heads * pairs * (slices + values));
}

/** As if the rows were one sequence's, of which each reads all of its keys. */
function paged(c: ConstantsOf): Cost {
  const [heads, keySize, valueSize] = [c.number('HEADS'), c.number('KEY_SIZE'), c.number('VALUE_SIZE')];
  const turns = sum(visible(c).map((keys) => alignUp(keys, DECODE_KEYS)));
  const issued = 2 * heads * turns * (keySize + alignUp(valueSize, WORKGROUP));
  const kvBytes = BYTES * c.number('KV_HEADS') * sum(visible(c)) * (keySize + valueSize);
  return { ...attends(c, heads * valueSize, issued), kvBytes };
}

/** Keys in whole turns of 64, whatever a token's own last one is. */
function biased(c: ConstantsOf): Cost {
  const [heads, size] = [c.number('HEADS'), c.number('SIZE')];
  const last = c.position + c.tokens;
  // How long an encoded text is, no constant says: as if it were as long as what the caches hold.
  const all = c.flag('ENCODED') ? c.number('CAPACITY') : last;
  const window = c.flag('WINDOWED') ? c.number('WINDOW') : Infinity;
  const seen = Array.from({ length: c.tokens }, (_, t) => {
    const position = c.position + t;
    const end = c.flag('WHOLE') || c.flag('ENCODED') ? all : position + 1;
    return Math.min(end, position + window) - Math.max(0, position + 1 - window);
  });
  const isBiased = c.flag('BIASED');
  return {
    weightBytes: isBiased ? BYTES * c.number('BUCKETS') * heads : 0,
    kvBytes: all * tokenBytesOf(c),
    activationBytes: BYTES * (c.tokens * 2 * heads * size + (isBiased ? 2 * c.number('FURTHEST') + 1 : 0)),
    usefulFlops: 4 * heads * sum(seen) * size,
    issuedFlops: 2 * heads * sum(seen.map((n) => alignUp(n, WORKGROUP))) * (size + alignUp(size, WORKGROUP)),
  };
}

/** Partial sums in, one result out. */
function reduce(c: ConstantsOf): Cost {
  const heads = c.number('HEADS');
  const isLatent = c.flag('RAISES');
  const joins = moves({
    weightBytes: c.flag('SINKS') ? BYTES * heads : 0,
    activationBytes: BYTES * c.tokens * (partialValues(c) + heads * c.number(isLatent ? 'VALUE' : 'VALUE_SIZE')),
  });
  return isLatent ? added(joins, raises(c)) : joins;
}

function rotateAppend(c: ConstantsOf): Cost {
  const [heads, kvHeads, size] = [c.number('HEADS'), c.number('KV_HEADS'), c.number('SIZE')];
  const table = c.flag('ROTATED') ? 2 * c.number('PAIRS') : 0;
  return moves({
    weightBytes: c.isOn('GAINS') ? BYTES * (c.number('Q_NORM') + c.number('K_NORM')) : 0,
    kvBytes: BYTES * c.tokens * kvHeads * (c.number('k_ROW') + c.number('v_ROW')),
    activationBytes: BYTES * c.tokens * ((2 * heads + 2 * kvHeads) * size + table),
  });
}

/** A lane takes its columns for one token, or for four. */
function latentAbsorb(c: ConstantsOf): Cost {
  const [heads, nope] = [c.number('OWN_HEADS'), c.number('NOPE')];
  const [rope, rank] = [c.number('ROPE'), c.number('KV_RANK')];
  const appends = c.number('APPENDS');
  const tokens = alignUp(c.tokens, c.flag('BLOCK') ? 4 : 1);
  const [down, row] = [appends * (rank + rope), heads * (nope + rope + rank + rope)];
  return added(
    passesThrough(c, heads, nope, tokens * heads * nope),
    moves({
      weightBytes: appends * BYTES * rank,
      kvBytes: appends * BYTES * c.tokens * c.number('k_ROW'),
      activationBytes: BYTES * c.tokens * (row + down + 2 * c.number('PAIRS')),
    }),
  );
}

function latentRaise(c: ConstantsOf): Cost {
  const [heads, value] = [c.number('OWN_HEADS'), c.number('VALUE')];
  const [rows, block] = c.flag('BLOCK') ? [8, 4] : [4, 1];
  return added(
    passesThrough(c, heads, value, alignUp(c.tokens, block) * heads * alignUp(value, rows)),
    moves({ activationBytes: BYTES * c.tokens * heads * (c.number('K') + value) }),
  );
}

/** Attention and its gates in, attention out. */
const outputGate: CostRule = (c) => moves({ activationBytes: BYTES * c.tokens * 3 * c.number('N') });

/** The chosen heads with k and v in and out, the logits, and what was chosen. */
function pickHeads(c: ConstantsOf): Cost {
  const [experts, topK] = [c.number('EXPERTS'), c.number('TOP_K')];
  const values = (topK + 2) * c.number('GROUP') * c.number('SIZE');
  return moves({ activationBytes: BYTES * c.tokens * (2 * values + experts + 2 * topK) });
}

function spreadHeads(c: ConstantsOf): Cost {
  const values = c.number('GROUP') * c.number('SIZE');
  const [experts, topK] = [c.number('EXPERTS'), c.number('TOP_K')];
  return moves({ activationBytes: BYTES * c.tokens * ((topK + experts) * values + 2 * topK) });
}

/** Of q and k two taps a channel, for a token and the one before, and two of each channel of the head. The one before counts once. */
function convolveHeads(c: ConstantsOf): Cost {
  const [heads, kvHeads, size] = [c.number('HEADS'), c.number('KV_HEADS'), c.number('SIZE')];
  const channels = (heads + kvHeads) * size;
  const past = 2 * channels + (kvHeads * size) / 2;
  const products = (width: number): number => 4 * c.tokens * (heads + kvHeads) * width * (size + 2);
  return {
    weightBytes: BYTES * (channels * (2 * size + 4) + kvHeads),
    kvBytes: (c.position > 0 ? 2 : 1) * BYTES * past,
    activationBytes: BYTES * c.tokens * 2 * (heads + 2 * kvHeads) * size,
    usefulFlops: products(size),
    issuedFlops: products(alignUp(size, c.number('WG'))),
  };
}

export const ATTENTION_COSTS: Readonly<Record<string, CostRule>> = {
  'attention/convolve_heads': convolveHeads,
  'attention/output_gate': outputGate,
  'attention/pick_heads': pickHeads,
  'attention/spread_heads': spreadHeads,
  'attention/attention_biased': biased,
  'attention/attention_decode': decode,
  'attention/attention_paged': paged,
  'attention/attention_prefill': prefill,
  'attention/attention_reduce': reduce,
  'attention/rotate_append': rotateAppend,
  'attention/latent_absorb': latentAbsorb,
  'attention/latent_raise': latentRaise,
};
