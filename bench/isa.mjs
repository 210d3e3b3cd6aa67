// What AMD's compiler makes of a model's kernels, without an AMD GPU: registers, spills, how many waves fit, instructions for one product.
//   node bench/isa.mjs --lab PATH_OF_gpu-lab [--model FILE_OR_DIR] [--weights q4] [--features shader-f16,subgroups] [--arithmetic f32|f16|int8] [--kernels REGEX] [--write]
// FILE is a published config.json (default: OLMoE-1B-7B's), whose weights are not needed; DIR has a checkpoint. Compares with isa-budget.json beside this file and
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
    model: { type: 'string', default: join(root, 'test/unit/config/published/olmoe-1b-7b-0924-instruct.json') },
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

/** Multiplications of a weight with an input in one turn of a kernel's loop over chunks of 32, by one lane; and the loops inside that may stay loops. */
const TURNS = {
  'linear/matvec': (code) => [32 * constant(code, 'ROWS_PER_LANE')],
  'linear/glu_matvec': (code) => [32 * constant(code, 'ROWS_PER_LANE')],
  'linear/matmul': () => [32 * 4 * 8, 2, 4],
  'linear/glu_matmul': () => [32 * 4 * 8, 2, 4],
  'moe/expert_up_decode': () => [32 * 2],
  'moe/expert_down_decode': () => [32],
  'moe/expert_up': (code) => [32 * constant(code, 'BM'), 2, 4],
  'moe/expert_down': (code) => [32 * constant(code, 'BM'), 2, 4],
};

/** A name that says the kernel and its size, and stays the same when others come or go. */
function nameOf({ path, code }, taken) {
  const sizes = ['N', 'K', 'D', 'F', 'BM'].map((name) => [name, constant(code, name)]);
  const size = sizes.filter(([, n]) => n).map(([name, n]) => `${name}${n}`);
  const name = [path.replace('/', '-'), ...size].join('-');
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

const found = await kernelsOf(values.model, {
  weights: values.weights,
  features: values.features.split(',').filter(Boolean),
  arithmetic: values.arithmetic,
});
const kernels = new Map();
for (const kernel of found)
  if (new RegExp(values.kernels).test(kernel.path)) kernels.set(nameOf(kernel, kernels), kernel);
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
  const entries = rows.map(({ key, registers, spills, perProduct }) => [key, { registers, spills, perProduct }]);
  writeFileSync(BUDGET, `${JSON.stringify(Object.fromEntries(entries), null, 2)}\n`);
} else {
  const budget = JSON.parse(readFileSync(BUDGET, 'utf8'));
  const worse = rows.flatMap(({ key, ...row }) => {
    const allowed = budget[key];
    if (!allowed) return [`${key} has no budget: --write, once its figures are right`];
    return ['registers', 'spills', 'perProduct']
      .filter((what) => row[what] > SLACK * allowed[what])
      .map((what) => `${key}: ${what} ${row[what]}, budget ${allowed[what]}`);
  });
  for (const line of worse) console.error(line);
  process.exitCode = worse.length > 0 ? 1 : 0;
}
