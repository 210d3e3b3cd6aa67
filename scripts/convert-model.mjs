// A model in another published format, by plain rounding to nearest: to try the format out and to compare. Quantisers that calibrate lose less.
//   node scripts/convert-model.mjs --to FORM --out PATH [--model models/smolmoe-135m-instruct]
// FORM is one of those that it lists; PATH a new folder, of gguf-* a file. The model: plain weights, or integers packed by compressed-tensors.
import { Buffer } from 'node:buffer';
import { copyFileSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { openFolder, writeSafetensors } from './convert/checkpoint.mjs';
import { FORMS } from './convert/forms.mjs';
import { MIXES, writeGguf } from './convert/gguf.mjs';
import { stored } from './convert/numbers.mjs';

export const FORM_NAMES = [...Object.keys(FORMS), ...Object.keys(MIXES)];

/** Embedding, head and routers stay plain in every format here; so does what is no matrix, and what groups do not divide. */
const isKept = ({ name, shape }, { step }) =>
  shape.length !== 2 ||
  shape[1] % step !== 0 ||
  shape[0] % 8 !== 0 ||
  !name.endsWith('.weight') ||
  /(embed_tokens|lm_head|\.gate|\.router|_gate)\.weight$/.test(name);

function encoded({ name, shape, read }, form) {
  const values = read();
  const [rows, cols] = shape;
  if (!isKept({ name, shape }, form)) return form.encode({ base: name.replace(/\.weight$/, ''), rows, cols, values });
  const dtype = name.endsWith('e_score_correction_bias') ? 'F32' : 'BF16';
  return { [name]: { dtype, shape, bytes: stored[dtype](values) } };
}

/** MLX keeps the experts of a layer as one tensor. */
function stackedExperts(tensors) {
  const out = {};
  for (const [name, tensor] of Object.entries(tensors)) {
    const [, block, e, rest] = /^(.*\.mlp)\.experts\.(\d+)\.(.*)$/.exec(name) ?? [];
    if (e === undefined) out[name] = tensor;
    else (out[`${block}.switch_mlp.${rest}`] ??= [])[e] = tensor; // names may come as text sorts them: 1, 10, 2
  }
  return Object.fromEntries(
    Object.entries(out).map(([name, found]) => {
      if (!Array.isArray(found)) return [name, found];
      const { dtype, shape } = found[0];
      return [name, { dtype, shape: [found.length, ...shape], bytes: Buffer.concat(found.map((t) => t.bytes)) }];
    }),
  );
}

/** Writes the model in `model` to `out`. */
export function convertModel({ model, to, out }) {
  const opened = openFolder(model);
  if (MIXES[to]) {
    mkdirSync(dirname(resolve(out)), { recursive: true });
    return writeGguf(out, model, opened, MIXES[to]);
  }
  const form = FORMS[to];
  if (!form) throw new Error(`--to ${to}: one of ${FORM_NAMES.join(', ')}`);
  mkdirSync(out, { recursive: true });
  const tensors = Object.assign({}, ...opened.tensors.map((t) => encoded(t, form)));
  writeSafetensors(join(out, 'model.safetensors'), to.startsWith('mlx') ? stackedExperts(tensors) : tensors);
  const config = { ...opened.config, quantization_config: undefined, ...form.config };
  writeFileSync(join(out, 'config.json'), JSON.stringify(config, null, 2));
  for (const file of readdirSync(model).filter((f) => /^(tokenizer|chat_template|generation_config)/.test(f)))
    copyFileSync(join(model, file), join(out, file));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: {
      model: { type: 'string', default: 'models/smolmoe-135m-instruct' },
      to: { type: 'string' },
      out: { type: 'string' },
    },
  });
  if (!values.to || !values.out) {
    console.error(`give --to (${FORM_NAMES.join(', ')}) and --out`);
    process.exitCode = 1;
  } else convertModel(values);
}
