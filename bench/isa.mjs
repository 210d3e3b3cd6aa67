// What AMD's compiler makes of a model's kernels, without an AMD GPU: registers, spills, how many waves fit, instructions for one product.
//   node bench/isa.mjs --lab PATH_OF_gpu-lab [--model FILE_OR_DIR] [--weights q4] [--features shader-f16,subgroups] [--arithmetic f32|f16|int8] [--kernels REGEX] [--write]
// FILE is a published config.json, whose weights are not needed; DIR has a checkpoint. Default: all kernels of OLMoE-1B-7B, and of others what it has not. Compares with isa-budget.json beside this file and
// ends with 1 when a kernel is worse; --write makes what is measured the budget. `gpu-lab isa FILE...` compiles WGSL as a browser does and prints statistics.
import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { loopsOf, turnOf } from './isa-listing.mjs';
import { kernelsOf } from './kernels-of.mjs';
import { root } from './modules.mjs';

const { values } = parseArgs({
  options: {
    lab: { type: 'string', default: process.env.GPU_LAB },
    model: { type: 'string' },
    weights: { type: 'string', default: 'q4' },
    features: { type: 'string', default: '' },
    arithmetic: { type: 'string', default: 'f32' },
    kernels: { type: 'string', default: '^(linear|moe|attention|norm)/' },
    write: { type: 'boolean', default: false },
  },
});
if (!values.lab) throw new Error('--lab PATH (or GPU_LAB) names the program gpu-lab');

const BUDGET = join(root, 'bench/isa-budget.json');
/** A compiler's next version may differ by so much. */
const SLACK = 1.05;

const constant = (code, name) => Number(new RegExp(`^const ${name}: u32 = (\\d+)u`, 'm').exec(code)?.[1]);

const published = (name) => join(root, `test/unit/config/published/${name}.json`);
const heads = /^attention\/attention_(decode|reduce|prefill)/;
const forms = (model, kernels = heads) =>
  ['f32', 'f16', 'int8'].map((kv) => ({
    model: published(model),
    vocab: 1024,
    kv,
    kernels: kv === 'f32' ? kernels : heads,
  }));
const tiles = (tileRows, arithmetic) => ({
  model: published('olmoe-1b-7b-0924-instruct'),
  vocab: 1024,
  tune: { tileRows, fewUpTo: 1 },
  arithmetic,
  kernels: /^moe\/expert_(up|down)$|^linear\/matmul$/,
});
/** Without --model. Heads: OLMoE's of 128, each with keys of its own; of 128 and 64 that share keys; latents. */
const DEFAULTS = [
  { model: published('olmoe-1b-7b-0924-instruct') },
  ...[32, 64].map((tileRows) => tiles(tileRows)),
  ...[16, 32, 64].map((tileRows) => tiles(tileRows, 'f16')),
  ...forms('qwen3-30b-a3b'),
  ...forms('gpt-oss-20b'),
  ...forms('deepseek-v2-lite', /^attention\/attention_(decode|reduce|prefill)|^linear\/glu_/),
];

/** The halves of a chunk are two loops over quads where a lane has 16 rows; in f16 they are turns of the only loop. */
const tileTurns = (code) => {
  const products = 32 * constant(code, 'BM');
  if (code.includes('enable f16;')) return [products, 2];
  return constant(code, 'BM') === 64 ? [products, 4] : [products, 2, 4];
};
const fewTurns = (code) => [
  32 * constant(code, 'ROWS_PER_LANE') * constant(code, 'COLUMNS'),
  constant(code, 'COLUMNS'),
];

/** Multiplications of a weight with an input in one turn of a kernel's loop over chunks of 32, by one lane; and the loops inside that may stay loops. */
const TURNS = {
  'linear/matvec': (code) => [32 * constant(code, 'ROWS_PER_LANE')],
  'linear/glu_matvec': (code) => [32 * constant(code, 'ROWS_PER_LANE')],
  'linear/matvec_few': fewTurns,
  'linear/glu_few': fewTurns,
  'linear/matmul': () => [32 * 4 * 8, 2, 4],
  'linear/glu_matmul': () => [32 * 4 * 8, 2, 4],
  'moe/expert_up_decode': () => [32 * 2],
  'moe/expert_down_decode': () => [32],
  'moe/expert_up': tileTurns,
  'moe/expert_down': tileTurns,
};

const SIZES = { N: 'N', K: 'K', D: 'D', F: 'F', BM: 'BM', HEADS: 'H', KV_HEADS: 'Hk', KEY_SIZE: 'A' };

/** A name that says the kernel, its size, its cache and arithmetic, and stays the same when others come or go. */
function nameOf({ path, code }, forms, taken) {
  const sizes = Object.entries(SIZES).map(([name, letter]) => [letter, constant(code, name)]);
  const appends = path === 'attention/attention_decode' && !code.includes('  attend_tiles(');
  const size = sizes.filter(([, n]) => n).map(([letter, n]) => `${letter}${n}`);
  const name = [path.replace('/', '-'), ...size, ...forms, ...(appends ? ['append'] : [])].join('-');
  for (let i = 1; ; i++) {
    const unique = i === 1 ? name : `${name}-${i}`;
    if (!taken.has(unique)) return unique;
  }
}

function compile(kernels) {
  // Where the lab can see it, and Git does not look.
  const folder = join(root, 'node_modules/.webmoe-isa');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const files = [...kernels].map(([name, { path, code }]) => {
    const file = join(folder, `${name}.wgsl`);
    writeFileSync(file, `// entry: ${basename(path)}\n${code}`);
    return file;
  });
  const env = { ...process.env, GPU_LAB_TEXT: '1' };
  // Through a file: of a pipe, what the lab wrote last may be missing when it exits.
  const listing = join(folder, 'listing.txt');
  const out = openSync(listing, 'w');
  const run = spawnSync(values.lab, ['isa', ...files], { cwd: root, env, stdio: ['ignore', out, 'inherit'] });
  closeSync(out);
  const text = readFileSync(listing, 'utf8');
  if (run.status !== 0) throw new Error(`gpu-lab isa failed: ${text.slice(0, 500)}`);
  return text.split(/^(?=\S+\.wgsl )/m).filter((part) => /^\S+\.wgsl /.test(part));
}

function rowOf(text, kernels) {
  const [line] = text.split('\n');
  const [file, chip] = line.split(' ');
  const name = file.replace('.wgsl', '');
  const stat = (key) => Number(new RegExp(` ${key}=(\\d+)`).exec(line)[1]);
  const { path, code } = kernels.get(name);
  const [products, ...inner] = TURNS[path]?.(code) ?? [];
  const listing = text.slice(text.indexOf('== Assembly'));
  const turn = turnOf(loopsOf(listing), inner);
  return {
    key: `${name} ${chip}`,
    registers: stat('vgpr'),
    spills: stat('spill') + stat('scratch'),
    waves: stat('waves/simd'),
    memory: stat('lds'),
    instructions: stat('instr'),
    // Where one turn is all, nothing is left of the loop.
    perProduct: products && turn ? Number((turn / products).toFixed(2)) : null,
  };
}

const kernels = new Map();
const seen = new Set();
for (const { model, kv = 'f32', tune, vocab, arithmetic = values.arithmetic, kernels: only = /./ } of values.model
  ? [{ model: values.model }]
  : DEFAULTS) {
  const asked = values.features.split(',').filter(Boolean);
  const features = arithmetic === 'f16' ? [...asked, 'shader-f16'] : asked;
  const found = await kernelsOf(model, { weights: values.weights, arithmetic, features, kv, tune, vocab });
  const forms = [...(kv === 'f32' ? [] : [kv]), ...(arithmetic === values.arithmetic ? [] : ['in', arithmetic])];
  for (const kernel of found) {
    const same = kernel.code.replace(/^const WINDOW: .*$/m, '');
    if (seen.has(same) || ![only, new RegExp(values.kernels)].every((name) => name.test(kernel.path))) continue;
    seen.add(same);
    kernels.set(nameOf(kernel, forms, kernels), kernel);
  }
}
const rows = compile(kernels).map((text) => rowOf(text, kernels));

const head = ['kernel and chip', 'registers', 'spills', 'waves a SIMD', 'LDS bytes', 'instructions', 'a product'];
console.log(`| ${head.join(' | ')} |\n|${' --- |'.repeat(head.length)}`);
for (const row of rows)
  console.log(
    `| ${Object.values(row)
      .map((v) => v ?? '')
      .join(' | ')} |`,
  );

if (values.write) {
  const entries = rows.map(({ key, registers, spills, instructions, perProduct }) => [
    key,
    { registers, spills, instructions, perProduct },
  ]);
  writeFileSync(BUDGET, `${JSON.stringify(Object.fromEntries(entries), null, 2)}\n`);
} else {
  const budget = JSON.parse(readFileSync(BUDGET, 'utf8'));
  const worse = rows.flatMap(({ key, ...row }) => {
    const allowed = budget[key];
    if (!allowed) return [`${key} has no budget: --write, once its figures are right`];
    return ['registers', 'spills', 'instructions', 'perProduct']
      .filter((what) => row[what] > SLACK * allowed[what])
      .map((what) => `${key}: ${what} ${row[what]}, budget ${allowed[what]}`);
  });
  for (const line of worse) console.error(line);
  process.exitCode = worse.length > 0 ? 1 : 0;
}
