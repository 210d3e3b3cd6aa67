import { invariant } from '../../util/assert.ts';
import { alignUp, ceilDiv } from '../../util/math.ts';
import { CHUNK } from '../../weights/layout.ts';
import {
  added,
  BYTES,
  moves,
  pairValues,
  weightRowBytes,
  type ConstantsOf,
  type Cost,
  type CostRule,
  type ExpertTraffic,
} from '../cost.ts';

const WORKGROUP = 64;
/** Lanes that share a row of the router. */
const ROUTER_PARTS = 4;

function of(c: ConstantsOf, traffic: ExpertTraffic | null): ExpertTraffic {
  invariant(traffic, `${c.launch.label}: nobody says which experts its tokens chose`);
  return traffic;
}

/** Norm, router and choice, for each token; with PREDICT the next layer's block as well. */
const route: CostRule = (c) => {
  const { tokens } = c;
  const [d, e, k] = [c.number('D'), c.number('E'), c.number('TOP_K')];
  const routers = c.flag('PREDICT') ? 2 : 1;
  const gate = c.flag('SHARED_GATE') ? 1 : 0;
  const biases = (c.flag('LOGIT_BIAS') ? e : 0) + (c.flag('SELECTION_BIAS') ? e : 0);
  const extra = (c.flag('ROUTER_GAINS') ? d : 0) + (c.flag('EXPERT_SCALE') ? e : 0);
  const norm = (c.isOn('NORM') ? (c.isOn('NORM_BIAS') ? 2 * d : d) : 0) + extra;
  const early = c.flag('EARLY') ? d : 0;
  const log = 2 * k + (c.flag('PREDICT') ? c.number('PREDICTED') : 0) + (c.flag('LOGITS') ? e : 0);
  const tables = (c.flag('APPROXIMATE') ? e : 0) + (c.flag('INTERVENE') ? routers * (4 + e) : 0);
  const products = c.isOn('PRODUCTS') ? c.number('ROWS') : e;
  const attends = c.isOn('ATTENDS');
  const second = c.isOn('PRODUCTS') && !attends ? e * products : 0;
  const rows = alignUp(products, c.number('WG') / ROUTER_PARTS);
  const mixing = tokens * routers * (attends ? 4 * e * e : 2 * second);
  return {
    // The shared gate of the next layer is not needed for its choice.
    weightBytes: routers * (products * weightRowBytes(c) + BYTES * (norm + biases + second)) + BYTES * gate * d,
    kvBytes: 0,
    activationBytes: BYTES * (tokens * (2 * d + early + log + gate) + tables),
    usefulFlops: 2 * tokens * d * (routers * products + gate) + mixing,
    issuedFlops:
      2 * tokens * (routers * rows * c.number('BLOCKS') * c.number('BLOCK_CHUNKS') * CHUNK + gate * d) + mixing,
  };
};

/** Two maps of as many inputs as outputs. */
const routerState: CostRule = (c) => {
  const size = c.number('R');
  const flops = (rows: number): number => 4 * c.tokens * rows * size;
  return {
    ...moves({
      weightBytes: BYTES * (2 * size + (c.flag('BEFORE') ? 5 : 4)) * size,
      activationBytes: BYTES * c.tokens * (c.flag('BEFORE') ? 4 : 3) * size,
    }),
    usefulFlops: flops(size),
    issuedFlops: flops(alignUp(size, c.number('WG'))),
  };
};

const group: CostRule = (c, traffic) => {
  const pairs = c.tokens * c.number('TOP_K');
  const tiles = 4 * (1 + of(c, traffic).tiles(c.number('TILE_ROWS')));
  return moves({ activationBytes: BYTES * (3 * pairs + tiles + c.number('E')) });
};

const weighRows: CostRule = (c) => {
  const values = c.tokens * c.number('D');
  return { ...moves({ activationBytes: BYTES * (2 * values + c.tokens) }), usefulFlops: values, issuedFlops: values };
};

/** The ids of all tokens before each, of which caches have the most; they count once. */
const dropLate: CostRule = (c) => moves({ activationBytes: BYTES * 3 * c.tokens });

const combine: CostRule = (c) => {
  const [d, k, { tokens }] = [c.number('D'), c.number('TOP_K'), c];
  const gate = c.isOn('BESIDE_GATED') ? 1 : 0;
  const beside = c.isOn('BESIDE') ? d : 0;
  return {
    ...moves({ activationBytes: BYTES * tokens * (k * d + 2 * k + 2 * d + beside + gate) }),
    usefulFlops: 2 * tokens * (k + gate) * d,
    issuedFlops: 2 * tokens * (k + gate) * alignUp(d, WORKGROUP),
  };
};

/** Bytes of one expert's matrix of `rows` rows, with its biases. */
const matrixBytes = (c: ConstantsOf, rows: number): number => rows * (weightRowBytes(c) + (c.flag('BIAS') ? BYTES : 0));

const BESIDE = 'beside_';

/**
 * The expert that every token takes beside the chosen ones, in the same dispatch: its matrix, once.
 * @param activations values of a token, in and out
 */
function beside(
  c: ConstantsOf,
  rows: number,
  activations: number,
  issued: { readonly tokens: number; readonly rows: number; readonly chunks: number },
): Cost {
  if (!c.isOn('BESIDE')) return moves({});
  const gate = c.isOn('BESIDE_GATED') ? 1 : 0;
  return {
    weightBytes: rows * weightRowBytes(c, BESIDE),
    kvBytes: 0,
    activationBytes: BYTES * c.tokens * (activations + gate),
    usefulFlops: 2 * c.tokens * rows * c.number(`${BESIDE}K`),
    issuedFlops: 2 * issued.tokens * issued.rows * issued.chunks * CHUNK,
  };
}

const besideNumber = (c: ConstantsOf, name: string): number => (c.isOn('BESIDE') ? c.number(name) : 0);

/** @param activations values of a token, in and out */
function besideTiles(c: ConstantsOf, activations: number): Cost {
  const n = besideNumber(c, `${BESIDE}N`);
  return beside(c, n, activations, {
    tokens: c.has('BM') ? alignUp(c.tokens, 8) : 0,
    rows: alignUp(n, WORKGROUP),
    chunks: besideNumber(c, `${BESIDE}W_CHUNKS`),
  });
}

/** @param outputs values of which each has `perOutput` rows */
function besideDecode(c: ConstantsOf, outputs: number, perOutput: number, activations: number): Cost {
  const parts = c.number('PARTS');
  return beside(c, perOutput * outputs, activations, {
    tokens: c.tokens,
    rows: perOutput * alignUp(outputs, WORKGROUP / parts),
    chunks: alignUp(besideNumber(c, `${BESIDE}W_CHUNKS`), parts),
  });
}

/** Rows of a tile, of the kernels for GPUs; of those for software each lane takes four, and leaves when the tile has no row for it. */
const tileRows = (c: ConstantsOf): number => (c.has('BM') ? c.number('BM') : 4 * c.launch.grid[2]);

/** @param activations values of rows, in and out */
function tiles(c: ConstantsOf, traffic: ExpertTraffic, activations: number): Cost {
  const [n, k] = [c.number('N'), c.number('K')];
  // A tile leaves out what it lacks of its rows, eight at a time.
  const [rowsAtOnce, columnsAtOnce] = c.has('BM') ? [8, WORKGROUP] : [4, 2 * WORKGROUP];
  const rows = traffic.tiles(rowsAtOnce) * rowsAtOnce;
  return {
    weightBytes: traffic.distinct * matrixBytes(c, n),
    kvBytes: 0,
    activationBytes: BYTES * (activations + 4 * (1 + traffic.tiles(tileRows(c))) + traffic.distinct),
    usefulFlops: 2 * traffic.pairs * n * k,
    issuedFlops: 2 * rows * alignUp(n, columnsAtOnce) * c.number('W_CHUNKS') * CHUNK,
  };
}

/** Every token once, gathered by its pairs; F values a pair. */
const expertUp: CostRule = (c, traffic) => {
  const { pairs } = of(c, traffic);
  const values = (pairValues(c) * pairs * c.number('N')) / 2;
  const chosen = tiles(c, of(c, traffic), c.tokens * c.number('K') + pairs + values);
  return added(chosen, besideTiles(c, pairValues(c) * besideNumber(c, 'BESIDE_F')));
};

const expertDown: CostRule = (c, traffic) => {
  const { pairs } = of(c, traffic);
  const chosen = tiles(c, of(c, traffic), pairs * (c.number('K') + c.number('N')));
  return added(chosen, besideTiles(c, besideNumber(c, `${BESIDE}K`) + c.number('N')));
};

/** @param rows of the matrix that `parts` lanes share, for each pair */
function decode(c: ConstantsOf, traffic: ExpertTraffic, rows: number, activations: number, issuedFlops: number): Cost {
  return {
    weightBytes: traffic.distinct * matrixBytes(c, rows),
    kvBytes: 0,
    activationBytes: BYTES * (activations + traffic.distinct),
    usefulFlops: 2 * traffic.pairs * rows * c.number('K'),
    issuedFlops,
  };
}

const expertUpDecode: CostRule = (c, traffic) => {
  const [f, parts] = [c.number('F'), c.number('PARTS')];
  const pairs = c.tokens * c.number('TOP_K');
  const rows = 2 * alignUp(f, WORKGROUP / parts);
  const issued = 2 * pairs * rows * alignUp(c.number('W_CHUNKS'), parts) * CHUNK;
  const values = pairs * (1 + pairValues(c) * f);
  const chosen = decode(c, of(c, traffic), 2 * f, c.tokens * c.number('K') + values, issued);
  const width = besideNumber(c, 'BESIDE_F');
  return added(chosen, besideDecode(c, width, 2, pairValues(c) * width));
};

/** The chunks of all K experts are dealt to the parts together. */
const expertDownDecode: CostRule = (c, traffic) => {
  const [d, k, parts] = [c.number('D'), c.number('TOP_K'), c.number('PARTS')];
  const rows = alignUp(d, WORKGROUP / parts);
  const issued = 2 * c.tokens * rows * ceilDiv(k * c.number('W_CHUNKS'), parts) * parts * CHUNK;
  const chosen = decode(c, of(c, traffic), d, c.tokens * (k * c.number('K') + 2 * k + 2 * d), issued);
  return added(chosen, besideDecode(c, d, 1, besideNumber(c, `${BESIDE}K`)));
};

/** Of the maps of chosen experts, as if the adapter changed all of them. */
function lowRank(c: ConstantsOf, traffic: ExpertTraffic, columns: number, activations: number, issued: number): Cost {
  const rank = c.number('R');
  return {
    weightBytes: BYTES * traffic.distinct * rank * columns,
    kvBytes: 0,
    activationBytes: BYTES * (activations + traffic.distinct + c.tokens * c.number('TOP_K')),
    usefulFlops: 2 * traffic.pairs * rank * columns,
    issuedFlops: 2 * traffic.pairs * issued,
  };
}

const lowRankDown: CostRule = (c, traffic) => {
  const { pairs } = of(c, traffic);
  const [rank, k, parts] = [c.number('R'), c.number('K'), c.number('PARTS')];
  const rows = c.has('PAIRS_A_ROW') ? pairs / c.number('PAIRS_A_ROW') : pairs;
  const issued = alignUp(rank, WORKGROUP / parts) * alignUp(k, parts);
  return lowRank(c, of(c, traffic), k, rows * k + pairs * (rank + (c.flag('BY_ROW') ? 1 : 0)), issued);
};

const lowRankAct: CostRule = (c, traffic) => {
  const { pairs } = of(c, traffic);
  const [rank, f] = [c.number('R'), c.number('F')];
  const values = 2 * rank + (2 + pairValues(c)) * f + (c.flag('BY_ROW') ? 1 : 0);
  return lowRank(c, of(c, traffic), 2 * f, pairs * values, 2 * rank * alignUp(f, WORKGROUP));
};

const lowRankSum: CostRule = (c, traffic) => {
  const { pairs } = of(c, traffic);
  const [rank, d] = [c.number('R'), c.number('D')];
  const joined = c.tokens * d * (c.flag('RESIDUAL') ? 2 : 1) + (c.flag('UNWEIGHTED') ? 0 : pairs);
  return lowRank(c, of(c, traffic), d, pairs * rank + joined, rank * alignUp(d, WORKGROUP));
};

export const MOE_COSTS: Readonly<Record<string, CostRule>> = {
  'moe/route': route,
  'moe/router_state': routerState,
  'moe/group': group,
  'moe/weigh_rows': weighRows,
  'moe/combine': combine,
  'moe/drop_late': dropLate,
  'moe/low_rank_down': lowRankDown,
  'moe/low_rank_act': lowRankAct,
  'moe/low_rank_sum': lowRankSum,
  'moe/expert_up': expertUp,
  'moe/expert_up_lane': expertUp,
  'moe/expert_down': expertDown,
  'moe/expert_down_lane': expertDown,
  'moe/expert_up_decode': expertUpDecode,
  'moe/expert_down_decode': expertDownDecode,
};
