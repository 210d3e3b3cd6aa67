// One model in every format that scripts/convert-model.mjs writes, each against its bf16 form: KL, best token, perplexity, error of the logits.
//   node bench/formats.mjs [--model models/smolmoe-135m-instruct] [--tokens 32] [--forms gptq,nf4]
// Fails where a form's logits are further off than its rounding explains. For weights that are normally distributed, rounding leaves a relative error e
// (RMS): a step's 1/sqrt(12), over what a group's largest weight is to their RMS. Errors of 2 L blocks, each independent, add in quadrature:
// the logits' is at most e sqrt(2 L), and KL, in second order, at most half its square, in units of the logits' spread.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { convertModel, FORM_NAMES } from '../scripts/convert-model.mjs';
import { fromSource, idsOf } from './modules.mjs';

/** e: for groups of 64 the largest is 2.4 times the RMS, for 32 2.1 times, for 16 1.8 times; FP8 has 3 bits of mantissa. */
const ROUNDING = {
  gptq: 0.09,
  'gptq-act-order': 0.09,
  awq: 0.09,
  nf4: 0.092,
  fp8: 0.027,
  int4: 0.1,
  'mlx-4bit': 0.09,
  'gguf-q8_0': 0.005,
  'gguf-q4_0': 0.085,
  'gguf-q4_k': 0.08,
};

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'models/smolmoe-135m-instruct' },
    tokens: { type: 'string', default: '32' },
    forms: { type: 'string', default: FORM_NAMES.filter((name) => name !== 'bf16').join(',') },
  },
});
const { openDawn, openGpu, loadOn, openNodeSource, comparison } = await fromSource('formats', [
  'cli/dawn.ts',
  'gpu/open.ts',
  'engine/load.ts',
  'cli/node-source.ts',
  'cli/quality/compare.ts',
]);
const gpu = await openGpu({ gpu: await openDawn() });
const ids = idsOf(readFileSync('test/golden/smolmoe-135m-instruct/golden.safetensors'), 'text_ids').slice(
  0,
  Number(values.tokens),
);
const folder = mkdtempSync(join(tmpdir(), 'webmoe-formats-'));

async function logitsOf(form) {
  const out = join(folder, form.startsWith('gguf') ? `${form}.gguf` : form);
  convertModel({ model: values.model, to: form, out });
  const model = await loadOn(gpu.share(), await openNodeSource(out), { weights: 'as-is', contextLength: 512 });
  try {
    const { logits } = await model.logits(ids);
    return {
      logits,
      layers: model.config.layers.length,
      vocab: model.config.vocab,
      conversions: model.plan.conversions,
    };
  } finally {
    await model.dispose();
    rmSync(out, { recursive: true });
  }
}

/** RMS of the difference, and of the logits, each around a token's mean: what all logits share changes no probability. */
function distance(a, b, vocab) {
  let [error, size] = [0, 0];
  for (let t = 0; t < ids.length; t++) {
    const [row, other] = [a, b].map((all) => all.subarray(t * vocab, (t + 1) * vocab));
    const [mean, otherMean] = [row, other].map((all) => all.reduce((sum, x) => sum + x, 0) / vocab);
    row.forEach((x, i) => {
      error += (x - mean - other[i] + otherMean) ** 2;
      size += (x - mean) ** 2;
    });
  }
  return { error: Math.sqrt(error / a.length), spread: Math.sqrt(size / a.length) };
}

const shown = (x, digits = 4) => x.toFixed(digits);
try {
  const base = await logitsOf('bf16');
  console.log(`${ids.length} tokens; every form against bf16`);
  console.log('form             logits (bound)     KL (bound)         same best   perplexity');
  for (const form of values.forms.split(',')) {
    const other = await logitsOf(form);
    const { error, spread } = distance(base.logits, other.logits, base.vocab);
    const compared = comparison({ first: 'bf16', second: form, vocab: base.vocab });
    compared.add(ids, base.logits, other.logits);
    const { kl, sameBest, first, second } = compared.result();
    const most = ROUNDING[form] * Math.sqrt(2 * base.layers);
    const mostKl = (most * spread) ** 2 / 2;
    console.log(
      [
        form.padEnd(16),
        `${shown(error / spread)} (${shown(most, 2)})`.padEnd(18),
        `${shown(kl.mean.value)} (${shown(mostKl, 3)})`.padEnd(18),
        `${(100 * sameBest.value).toFixed(0)} %`.padEnd(11),
        `${shown(second.perplexity.value, 1)} for ${shown(first.perplexity.value, 1)}`,
      ].join(' '),
    );
    console.log(`  ${Object.keys(other.conversions).join('; ')}`);
    if (error / spread > most || kl.mean.value > mostKl) {
      console.log(`  further off than rounding explains`);
      process.exitCode = 1;
    }
  }
} finally {
  gpu.dispose();
  rmSync(folder, { recursive: true });
}
