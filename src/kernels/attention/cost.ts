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
  const [nope, rope, value] = [c.number('NOPE'), c.number('ROPE'), c.number('VALUE')];
  const risen = c.isOn('RISES') ? c.number('KV_RANK') : heads * (nope + value);
  return heads * (nope + rope) + risen + rope + table;
}

/** Nope keys and values of all heads from the latent, where the kernel makes them: a matrix [H (nope + value), KV_RANK], and the latent's norm. */
function rises(c: ConstantsOf): Cost {
  if (!c.isOn('RISES')) return moves({});
  const rows = c.number('HEADS') * (c.number('NOPE') + c.number('VALUE'));
  return {
    ...moves({ weightBytes: rows * weightRowBytes(c) + BYTES * c.number('KV_RANK') }),
    usefulFlops: 2 * c.tokens * rows * c.number('KV_RANK'),
    issuedFlops: 2 * c.tokens * rows * c.number('W_CHUNKS') * CHUNK,
  };
}

/**
 * Keys and values count once, whether they are read or, the step's own where the kernel makes them, written.
 * @param outputs values that a token's sums are written to
 */
function attends(c: ConstantsOf, outputs: number, issuedFlops: number): Cost {
  const [heads, keySize, valueSize] = [c.number('HEADS'), c.number('KEY_SIZE'), c.number('VALUE_SIZE')];
  const keys = c.position + c.tokens - begins(c, c.position);
  const inputs = c.isOn('FRESH') ? sourceValues(c) : heads * keySize;
  const gammas = c.isOn('NORMED') ? c.number('Q_NORM') + c.number('K_NORM') : 0;
  return {
    weightBytes: BYTES * ((c.flag('SINKS') ? heads : 0) + gammas),
    kvBytes: BYTES * c.number('KV_HEADS') * keys * (keySize + valueSize),
    activationBytes: BYTES * c.tokens * (inputs + outputs),
    usefulFlops: 2 * heads * sum(visible(c)) * (keySize + valueSize),
    issuedFlops,
  };
}

/** Keys in whole turns of 32, from the first of each split; the last lanes of a value beyond a multiple of 64 idle. */
function decode(c: ConstantsOf): Cost {
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
  const attended = attends(c, splits ? partialValues(c) : heads * c.number('VALUE_SIZE'), issued);
  return added(attended, rises(c));
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

/** Partial sums in, one result out. */
function reduce(c: ConstantsOf): Cost {
  const heads = c.number('HEADS');
  return moves({
    weightBytes: c.flag('SINKS') ? BYTES * heads : 0,
    activationBytes: BYTES * c.tokens * (partialValues(c) + heads * c.number('VALUE_SIZE')),
  });
}

function rotateAppend(c: ConstantsOf): Cost {
  const [heads, kvHeads, size] = [c.number('HEADS'), c.number('KV_HEADS'), c.number('SIZE')];
  const table = c.flag('ROTATED') ? 2 * c.number('PAIRS') : 0;
  return moves({
    weightBytes: c.flag('NORMED') ? BYTES * (c.number('Q_NORM') + c.number('K_NORM')) : 0,
    kvBytes: BYTES * c.tokens * 2 * kvHeads * size,
    activationBytes: BYTES * c.tokens * ((2 * heads + 2 * kvHeads) * size + table),
  });
}

function latentAppend(c: ConstantsOf): Cost {
  const [heads, nope, rope, value] = [c.number('HEADS'), c.number('NOPE'), c.number('ROPE'), c.number('VALUE')];
  return moves({
    kvBytes: BYTES * c.tokens * heads * (nope + rope + value),
    activationBytes: BYTES * c.tokens * (heads * (2 * (nope + rope) + nope + value) + rope + 2 * c.number('PAIRS')),
  });
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

export const ATTENTION_COSTS: Readonly<Record<string, CostRule>> = {
  'attention/output_gate': outputGate,
  'attention/pick_heads': pickHeads,
  'attention/spread_heads': spreadHeads,
  'attention/attention_decode': decode,
  'attention/attention_prefill': prefill,
  'attention/attention_reduce': reduce,
  'attention/rotate_append': rotateAppend,
  'attention/latent_append': latentAppend,
};
