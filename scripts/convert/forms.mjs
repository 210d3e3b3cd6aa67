// What a folder's matrices become: one entry for each published format, with the config that announces it. `encode` gives the tensors of one matrix.
import { Buffer } from 'node:buffer';
import { integers, offsets, pack } from './grids.mjs';
import { bytesOf, filled, fromBf16, fromF16, stored, toBf16, toE4m3, toF16 } from './numbers.mjs';

const asF16 = (x) => fromF16(toF16(x));
const asBf16 = (x) => fromBf16(toBf16(x));
const tensor = (dtype, shape, bytes) => ({ dtype, shape, bytes });
const GROUP = 64;

/** Columns by falling weight: without activations to go by, what they would multiply decides. */
function order(values, rows, cols) {
  const energy = new Float64Array(cols);
  for (let i = 0; i < rows * cols; i++) energy[i % cols] += values[i] ** 2;
  return Array.from({ length: cols }, (_, k) => k).sort((a, b) => energy[b] - energy[a] || a - b);
}

/** [N, K] by columns: what `at(column, row)` gives for each of `height` x N. */
const columns = (height, rows, at) => filled(new Uint8Array(height * rows), (i) => at(Math.floor(i / rows), i % rows));

/** Version 1: zero points are stored less one. */
function gptq(actOrder) {
  return ({ base, rows, cols, values }) => {
    const places = actOrder ? order(values, rows, cols) : Array.from({ length: cols }, (_, k) => k);
    const sorted = actOrder ? values.map((_, i) => values[i - (i % cols) + places[i % cols]]) : values;
    const { codes, scales, zeros } = integers(sorted, {
      rows,
      cols,
      group: GROUP,
      bits: 4,
      symmetric: false,
      round: asF16,
    });
    const groups = cols / GROUP;
    const placeOf = new Int32Array(cols);
    places.forEach((k, place) => (placeOf[k] = place));
    const words = new Uint32Array((cols / 8) * rows);
    for (let k = 0; k < cols; k++)
      for (let n = 0; n < rows; n++) words[(k >> 3) * rows + n] |= codes[n * cols + placeOf[k]] << (4 * (k & 7));
    const stores = columns(groups, rows, (g, n) => (zeros[n * groups + g] + 15) % 16);
    const scaleColumns = filled(
      new Float32Array(groups * rows),
      (i) => scales[(i % rows) * groups + Math.floor(i / rows)],
    );
    return {
      [`${base}.qweight`]: tensor('I32', [cols / 8, rows], bytesOf(words)),
      [`${base}.qzeros`]: tensor('I32', [groups, rows / 8], bytesOf(pack(stores, 4))),
      [`${base}.scales`]: tensor('F16', [groups, rows], stored.F16(scaleColumns)),
      [`${base}.g_idx`]: tensor('I32', [cols], bytesOf(placeOf.map((place) => Math.floor(place / GROUP)))),
    };
  };
}

/** Which column of eight lies in each nibble. */
const AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7];

function awq({ base, rows, cols, values }) {
  const { codes, scales, zeros } = integers(values, {
    rows,
    cols,
    group: GROUP,
    bits: 4,
    symmetric: false,
    round: asF16,
  });
  const groups = cols / GROUP;
  const interleaved = (i) => i - (i % 8) + AWQ_ORDER[i % 8];
  const weights = columns(cols, rows, (k, n) => codes[interleaved(n) * cols + k]);
  const points = columns(groups, rows, (g, n) => zeros[interleaved(n) * groups + g]);
  const scaleColumns = filled(
    new Float32Array(groups * rows),
    (i) => scales[(i % rows) * groups + Math.floor(i / rows)],
  );
  return {
    [`${base}.qweight`]: tensor('I32', [cols, rows / 8], bytesOf(pack(weights, 4))),
    [`${base}.qzeros`]: tensor('I32', [groups, rows / 8], bytesOf(pack(points, 4))),
    [`${base}.scales`]: tensor('F16', [groups, rows], stored.F16(scaleColumns)),
  };
}

function int4({ base, rows, cols, values }) {
  const { codes, scales } = integers(values, { rows, cols, group: GROUP, bits: 4, symmetric: true, round: asBf16 });
  return {
    [`${base}.weight_packed`]: tensor('I32', [rows, cols / 8], bytesOf(pack(codes, 4))),
    [`${base}.weight_scale`]: tensor('BF16', [rows, cols / GROUP], stored.BF16(scales)),
    [`${base}.weight_shape`]: tensor('I64', [2], bytesOf(BigInt64Array.of(BigInt(rows), BigInt(cols)))),
  };
}

const BLOCK = 128;

function fp8({ base, rows, cols, values }) {
  const [down, across] = [Math.ceil(rows / BLOCK), Math.ceil(cols / BLOCK)];
  const largest = new Float32Array(down * across);
  const blockOf = (i) => Math.floor(Math.floor(i / cols) / BLOCK) * across + Math.floor((i % cols) / BLOCK);
  values.forEach((x, i) => (largest[blockOf(i)] = Math.max(largest[blockOf(i)], Math.abs(x))));
  const scales = largest.map((most) => most / 448);
  const codes = filled(new Uint8Array(rows * cols), (i) => {
    const scale = scales[blockOf(i)];
    return scale === 0 ? 0 : toE4m3(values[i] / scale);
  });
  return {
    [`${base}.weight`]: tensor('F8_E4M3', [rows, cols], codes),
    [`${base}.weight_scale_inv`]: tensor('F32', [down, across], stored.F32(scales)),
  };
}

/** Quantiles of a normal distribution, as QLoRA prints them (arXiv 2305.14314, appendix E). */
const NF4 = [
  -1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
  -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
  0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1,
];
const BETWEEN = NF4.slice(1).map((x, i) => (x + NF4[i]) / 2);

function nf4({ base, rows, cols, values }) {
  const absmax = new Float32Array((rows * cols) / GROUP);
  values.forEach((x, i) => (absmax[Math.floor(i / GROUP)] = Math.max(absmax[Math.floor(i / GROUP)], Math.abs(x))));
  const codeOf = (i) => {
    const x = absmax[Math.floor(i / GROUP)] === 0 ? 0 : values[i] / absmax[Math.floor(i / GROUP)];
    let code = 0;
    while (code < 15 && x > BETWEEN[code]) code++;
    return code;
  };
  const codes = filled(new Uint8Array((rows * cols) / 2), (i) => (codeOf(2 * i) << 4) | codeOf(2 * i + 1));
  const state = Buffer.from(
    JSON.stringify({ quant_type: 'nf4', blocksize: GROUP, dtype: 'bfloat16', shape: [rows, cols] }),
  );
  return {
    [`${base}.weight`]: tensor('U8', [codes.length, 1], codes),
    [`${base}.weight.absmax`]: tensor('F32', [absmax.length], bytesOf(absmax)),
    [`${base}.weight.quant_map`]: tensor('F32', [16], stored.F32(NF4)),
    [`${base}.weight.quant_state.bitsandbytes__nf4`]: tensor('U8', [state.length], bytesOf(state)),
  };
}

function mlx({ base, rows, cols, values }) {
  const { codes, scales, edges } = offsets(values, { rows, cols, group: GROUP, bits: 4, round: asBf16 });
  return {
    [`${base}.weight`]: tensor('U32', [rows, cols / 8], bytesOf(pack(codes, 4))),
    [`${base}.scales`]: tensor('BF16', [rows, cols / GROUP], stored.BF16(scales)),
    [`${base}.biases`]: tensor('BF16', [rows, cols / GROUP], stored.BF16(edges)),
  };
}

const compressed = {
  quant_method: 'compressed-tensors',
  format: 'pack-quantized',
  quantization_status: 'compressed',
  ignore: ['lm_head', 're:.*(gate|router)$'],
  config_groups: {
    group_0: {
      targets: ['Linear'],
      weights: { num_bits: 4, type: 'int', symmetric: true, strategy: 'group', group_size: GROUP, dynamic: false },
      input_activations: null,
      output_activations: null,
    },
  },
};
const gptqConfig = { quant_method: 'gptq', bits: 4, group_size: GROUP, sym: false, checkpoint_format: 'gptq' };
const KEPT = ['lm_head', 'mlp.gate', 'block_sparse_moe.gate', 'router'];

/** By name: what config.json says, and the tensors of one matrix. `step`: columns that must come in multiples. */
export const FORMS = {
  bf16: {
    config: {},
    step: 1,
    encode: ({ base, rows, cols, values }) => ({
      [`${base}.weight`]: tensor('BF16', [rows, cols], stored.BF16(values)),
    }),
  },
  gptq: { config: { quantization_config: { ...gptqConfig, desc_act: false } }, step: GROUP, encode: gptq(false) },
  'gptq-act-order': {
    config: { quantization_config: { ...gptqConfig, desc_act: true } },
    step: GROUP,
    encode: gptq(true),
  },
  awq: {
    config: {
      quantization_config: {
        quant_method: 'awq',
        bits: 4,
        group_size: GROUP,
        version: 'gemm',
        zero_point: true,
        modules_to_not_convert: KEPT,
      },
    },
    step: GROUP,
    encode: awq,
  },
  nf4: {
    config: {
      quantization_config: {
        quant_method: 'bitsandbytes',
        load_in_4bit: true,
        load_in_8bit: false,
        bnb_4bit_quant_type: 'nf4',
        bnb_4bit_use_double_quant: false,
        bnb_4bit_compute_dtype: 'bfloat16',
        bnb_4bit_quant_storage: 'uint8',
        llm_int8_skip_modules: KEPT,
      },
    },
    step: GROUP,
    encode: nf4,
  },
  fp8: {
    config: {
      quantization_config: {
        quant_method: 'fp8',
        fmt: 'e4m3',
        activation_scheme: 'dynamic',
        weight_block_size: [BLOCK, BLOCK],
        modules_to_not_convert: KEPT,
      },
    },
    step: 1,
    encode: fp8,
  },
  int4: { config: { quantization_config: compressed }, step: GROUP, encode: int4 },
  'mlx-4bit': { config: { quantization: { group_size: GROUP, bits: 4 } }, step: GROUP, encode: mlx },
};
