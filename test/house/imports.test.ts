import { builtinModules } from 'node:module';
import { posix } from 'node:path';
import { describe, expect, it } from 'vitest';
import { filesUnder, withoutComments, type TextFile } from './files.ts';

/**
 * Who may import whom, by folder of src/, or for a single file with needs of its own. `type x` allows `import type` only. A folder may always
 * import itself.
 * demo -> index -> engine -> layers, moe -> kernels -> gpu -> util; engine -> families, weights, text.
 */
const ARROWS: Readonly<Record<string, readonly string[]>> = {
  util: [],
  'errors.ts': [],
  gpu: ['util', 'errors.ts'],
  config: ['util', 'errors.ts'],
  'config/load.ts': ['families', 'util', 'errors.ts'],
  families: ['config', 'util', 'errors.ts'],
  weights: ['config/read.ts', 'config/json.ts', 'type config', 'type families/family.ts', 'util', 'errors.ts'],
  text: ['util', 'errors.ts'],
  policy: ['util', 'errors.ts'],
  trace: ['policy', 'util', 'errors.ts'],
  viz: ['trace', 'policy', 'util', 'errors.ts'],
  reference: [
    'util',
    'type config',
    'config/activation.ts',
    'weights/layout.ts',
    'weights/code-values.ts',
    'type weights/matrix.ts',
    'type families/family.ts',
  ],
  kernels: [
    'gpu',
    'weights/layout.ts',
    'type weights/matrix.ts',
    'type config',
    'config/activation.ts',
    'config/mixers.ts',
    'config/moe-layer.ts',
    'util',
    'errors.ts',
  ],
  layers: ['kernels', 'gpu', 'weights/layout.ts', 'type weights/matrix.ts', 'config', 'util', 'errors.ts'],
  moe: [
    'layers',
    'kernels',
    'gpu',
    'policy',
    'weights/layout.ts',
    'type weights/matrix.ts',
    'config',
    'util',
    'errors.ts',
  ],
  engine: 'layers moe kernels gpu policy families config weights text trace util errors.ts'.split(' '),
  layer: ['moe', 'kernels', 'gpu', 'type config', 'config/moe-layer.ts', 'util', 'errors.ts'],
  chat: ['type engine', 'type text', 'text/stop.ts', 'util', 'errors.ts'],
  'ai-sdk': ['chat', 'util', 'errors.ts'],
  'testing.ts': ['chat', 'type engine', 'text/stop.ts', 'util', 'errors.ts'],
  remote: ['type chat', 'type engine', 'weights/retry.ts', 'util', 'errors.ts'],
  surface: [
    'chat',
    'engine',
    'weights',
    'type text',
    'type config',
    'util',
    'worker.ts',
    'worker-inline.ts',
    'errors.ts',
  ],
  'worker.ts': ['surface'],
  'worker-inline.ts': [],
  'index.ts': [
    'surface',
    'chat',
    'engine',
    'weights',
    'remote',
    'text',
    'trace',
    'type policy',
    'type config',
    'errors.ts',
  ],
};
/** Node's own surfaces; a page never loads them, and nothing but they themselves may import them. */
const NODE_ONLY = ['cli', 'node.ts'];

/** Packages beside the relative imports. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  trace: ['fflate'],
  viz: ['lit', 'lit/async-directive.js', 'lit/directive.js', 'lit/directives/guard.js', 'd3-sankey'],
  text: ['@huggingface/jinja', '@huggingface/tokenizers'],
  'cli/dawn.ts': ['webgpu'],
};
/** Runs in Node only, loaded by src/node.ts. */
const NODE_FILES = ['weights/node-source.ts', 'weights/records/node-folder.ts', 'weights/records/node-lock.ts'];

interface Import {
  readonly from: string;
  readonly isType: boolean;
}

function importsOf(text: string): Import[] {
  const code = withoutComments(text);
  const found: Import[] = [];
  for (const [, type, what, from] of code.matchAll(
    /^\s*(?:import|export)(\s+type)?\b(?:\s*([\w*${},\s]+?)\s*from)?\s*['"]([^'"]+)['"]/gm,
  )) {
    const names = /^\{([^}]*)\}$/.exec(what ?? '')?.[1];
    const allTypes = names !== undefined && names.split(',').every((n) => !n.trim() || /^\s*type\s/.test(n));
    found.push({ from: from!, isType: type !== undefined || allTypes });
  }
  for (const [, from] of code.matchAll(/\bimport\(\s*['"]([^'"]+)['"]/g)) found.push({ from: from!, isType: false });
  return found;
}

const inSrc = (path: string): string => path.replace(/^src\//, '');
const zoneOf = (file: string): string => file.split('/')[0]!;
const isAllowed = (list: readonly string[], file: string, isType: boolean): boolean =>
  [zoneOf(file), file].some((t) => list.includes(t) || (isType && list.includes(`type ${t}`)));

function wrongPackage(file: string, from: string): boolean {
  if (from.startsWith('node:') || builtinModules.includes(from)) {
    return !NODE_ONLY.includes(zoneOf(file)) && !NODE_FILES.includes(file);
  }
  return ![zoneOf(file), file].some((key) => PACKAGES[key]?.includes(from));
}

/** One line for each import of `file` that goes against an arrow. */
function wrongArrows({ path, text }: TextFile): string[] {
  const file = inSrc(path);
  const zone = zoneOf(file);
  const allowed = ARROWS[file] ?? ARROWS[zone];
  if (!allowed && !NODE_ONLY.includes(zone)) return [`${path}: src/${zone} has no arrows; add it to the table`];
  return importsOf(text).flatMap(({ from, isType }) => {
    if (!from.startsWith('.')) return wrongPackage(file, from) ? [`${path} imports ${from}`] : [];
    if (!from.endsWith('.ts')) return [`${path} imports ${from} without .ts`];
    const goal = inSrc(posix.join(posix.dirname(path), from));
    if (goal.startsWith('..') || /^(test|demo|scripts)\//.test(goal)) return [`${path} imports ${from}, outside src`];
    if (zoneOf(goal) === zone || NODE_ONLY.includes(zone)) return [];
    return isAllowed(allowed!, goal, isType) ? [] : [`${path} imports src/${goal}${isType ? ' (types)' : ''}`];
  });
}

/** The demo is a user like any other: it sees what the package exports, and type-checks against nothing else. */
const SURFACES = [
  'src/index.ts',
  'src/worker.ts',
  'src/layer/index.ts',
  'src/trace/index.ts',
  'src/viz/index.ts',
  // A view that the package leaves out, for its bytes.
  'src/viz/training.ts',
];

const demoArrows = ({ path, text }: TextFile): string[] =>
  importsOf(text)
    .map(({ from }) => posix.join(posix.dirname(path), from))
    .filter((goal) => goal.startsWith('src/') && !SURFACES.includes(goal))
    .map((goal) => `${path} imports ${goal}`);

const src = filesUnder('src', '.ts');
const families = filesUnder('src/families', '.ts')
  .map(({ path }) => posix.basename(path, '.ts'))
  .filter((name) => !['family', 'index'].includes(name));

const SEEDED = ['src/trace/stats/chance.ts', 'src/trace/prefetch-replay.ts'];

/** Words of code, comments left out, that a folder must not contain. */
function forbiddenWords({ path, text }: TextFile): string[] {
  const code = withoutComments(text);
  const found: string[] = [];
  if (/\bnavigator\b.{0,3}\bgpu\b/.test(code) && !/^src\/(gpu\/|cli\/dawn\.ts)/.test(path)) found.push('navigator.gpu');
  if (/^src\/(layers|moe)\//.test(path)) {
    if (/\bGPU(Device|Adapter|Queue|Buffer\b|CommandEncoder)/.test(code)) found.push('a GPU object');
    found.push(...families.filter((name) => new RegExp(`['"\`]${name}`).test(code)).map((name) => `family ${name}`));
  }
  // What is shown of a trace is measured. Chance levels and made-up predictors are simulated in one place each, from a fixed seed.
  if (/^src\/(trace|viz)\//.test(path) && /\bMath\s*\.\s*random\b|\b(getRandomValues|randomUUID)\b/.test(code))
    found.push('random numbers');
  if (/^src\/trace\//.test(path) && !SEEDED.includes(path) && /\bprng\b/.test(code)) found.push('a generator');
  return found.map((word) => `${path} mentions ${word}`);
}

describe('imports', () => {
  it('follow the arrows', () => {
    expect(src.length).toBeGreaterThan(20);
    expect(src.flatMap(wrongArrows)).toEqual([]);
  });
  it('of the demo stop at the public surface', () => {
    expect(filesUnder('demo', '.ts').flatMap(demoArrows)).toEqual([]);
  });
  it('and words stay in their folders', () => {
    expect(src.flatMap(forbiddenWords)).toEqual([]);
  });

  it.each([
    ['src/gpu/a.ts', `import { sample } from '../kernels/sample/sample.ts';`],
    ['src/kernels/norm/a.ts', `import {\n  x,\n  type Y,\n} from '../../layers/parts.ts';`],
    ['src/kernels/norm/a.ts', `export * from '../../engine/plan.ts';`],
    ['src/layers/a.ts', `import { families } from '../families/index.ts';`],
    ['src/layers/a.ts', `import type { Family } from '../families/family.ts';`],
    ['src/moe/a.ts', `import { httpSource } from '../weights/http-source.ts';`],
    ['src/config/axes.ts', `import { findFamily } from '../families/index.ts';`],
    ['src/families/a.ts', `const k = await import('../kernels/matrix.ts');`],
    ['src/reference/a.ts', `import { formats } from '../weights/formats/index.ts';`],
    ['src/reference/a.ts', `import type { BufferView } from '../gpu/buffer.ts';`],
    ['src/policy/a.ts', `import { replay } from '../trace/replay.ts';`],
    ['src/policy/a.ts', `import type { Slots } from '../moe/slots.ts';`],
    ['src/engine/a.ts', `import { openDawn } from '../cli/dawn.ts';`],
    ['src/engine/a.ts', `import { rmsNorm } from '../reference/norm/rms_norm.ts';`],
    ['src/engine/a.ts', `import '../../test/support/gpu.ts';`],
    ['src/engine/a.ts', `import { x } from './plan';`],
    ['src/weights/a.ts', `import { open } from 'node:fs/promises';`],
    ['src/engine/a.ts', `import { Template } from '@huggingface/jinja';`],
    ['src/somewhere/a.ts', ``],
  ])('catches %s: %s', (path, text) => {
    expect(wrongArrows({ path, text })).toHaveLength(1);
  });
  it.each([
    ['src/layers/a.ts', `import { rmsNorm } from '../kernels/norm/rms_norm.ts';`],
    ['src/reference/a.ts', `import type { Layout } from '../weights/layout.ts';`],
    ['src/reference/a.ts', `import { type Layout, type MatrixShape } from '../weights/layout.ts';`],
    ['src/engine/a.ts', `// import { x } from '../cli/dawn.ts';\n/* import '../cli/main.ts'; */`],
    ['src/cli/a.ts', `import { readFile } from 'node:fs/promises';\nimport { load } from '../engine/load.ts';`],
  ])('lets pass %s: %s', (path, text) => {
    expect(wrongArrows({ path, text })).toEqual([]);
  });
  it('catches wrong words and a demo that reaches inside', () => {
    expect(forbiddenWords({ path: 'src/engine/a.ts', text: 'navigator.gpu.requestAdapter()' })).toHaveLength(1);
    expect(forbiddenWords({ path: 'src/engine/a.ts', text: 'globalThis.navigator?.gpu' })).toHaveLength(1);
    expect(forbiddenWords({ path: 'src/moe/a.ts', text: 'const d: GPUDevice = x;' })).toHaveLength(1);
    expect(forbiddenWords({ path: 'src/trace/stats/a.ts', text: 'x = Math.random();' })).toHaveLength(1);
    expect(forbiddenWords({ path: 'src/viz/a.ts', text: 'crypto.getRandomValues(a)' })).toHaveLength(1);
    expect(forbiddenWords({ path: 'src/trace/stats/a.ts', text: 'prng(1)' })).toHaveLength(1);
    expect(forbiddenWords({ path: 'src/trace/stats/chance.ts', text: 'prng(SEED)' })).toEqual([]);
    expect(forbiddenWords({ path: 'src/engine/a.ts', text: '/** default navigator.gpu */' })).toEqual([]);
    expect(demoArrows({ path: 'demo/chat/a.ts', text: `import { x } from '../../src/engine/load.ts';` })).toHaveLength(
      1,
    );
    expect(demoArrows({ path: 'demo/a.ts', text: `import { load } from '../src/index.ts';` })).toEqual([]);
  });
});
