// Gathers shaders/**/*.wgsl into src/gpu/shaders.gen.ts, what a standalone layer runs into layer-shaders.gen.ts, so that tsc, tsdown, Vite, Vitest and Node all read shaders the same way.
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Without its comments, which are half of what a visitor would download (18 KB with gzip in place of 35); lines keep their numbers, for compilers' messages. WGSL has no strings. */
const withoutComments = (text) => text.replace(/[ \t]*\/\/.*$/gm, '');

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/** What a standalone layer runs of the engine's: its experts are in f32, in tiles. */
const OF_LAYER = [
  'moe/group',
  'moe/expert_up',
  'moe/expert_up_lane',
  'moe/expert_down',
  'moe/expert_down_lane',
  'weights/f32',
];
/** Tiles in f16, which f32 weights never are multiplied in. */
const NOT_OF_LAYER = ['linear/half_chunks', 'linear/parts_halves', 'linear/parts_matrices', 'moe/tile_halves'];

/** `paths` and all that they import, under whatever conditions, but for `without`. Names without a folder are given by the program. */
function withImports(texts, paths, without) {
  const found = new Set(paths);
  for (const path of found)
    for (const [, name] of texts[path].matchAll(/^#import (\w+\/\w+)/gm)) if (!without.includes(name)) found.add(name);
  return [...found].sort();
}

/** What of the shaders is in which module: models need nothing of shaders/layer, a layer a third of theirs, and neither carries what it does not run. */
const isOfLayer = (path) => path.startsWith('layer/');
const MODULES = {
  'src/gpu/shaders.gen.ts': {
    name: 'shaderText',
    paths: (texts) => Object.keys(texts).filter((path) => !isOfLayer(path)),
  },
  'src/gpu/layer-shaders.gen.ts': {
    name: 'layerShaderText',
    paths: (texts) => withImports(texts, [...Object.keys(texts).filter(isOfLayer), ...OF_LAYER], NOT_OF_LAYER),
  },
};

/** The shaders' texts by path, as programs ask for them. */
export function shaderTexts() {
  const files = readdirSync(join(root, 'shaders'), { recursive: true })
    .map(String)
    .map((f) => f.replaceAll('\\', '/'))
    .filter((f) => f.endsWith('.wgsl'))
    .sort();
  const text = (f) => withoutComments(readFileSync(join(root, 'shaders', f), 'utf8'));
  return Object.fromEntries(files.map((f) => [f.replace(/\.wgsl$/, ''), text(f)]));
}

/** @returns the generated module that `id` ends with, of these texts; null for another id */
export function shaderModule(id, texts) {
  const module = Object.entries(MODULES).find(([file]) => id.endsWith(file))?.[1];
  if (!module) return null;
  const all = texts();
  const entries = module.paths(all).map((path) => `  ${JSON.stringify(path)}: ${JSON.stringify(all[path])},`);
  return `// Made by scripts/wgsl.mjs from shaders/.\nexport const ${module.name}: Readonly<Record<string, string>> = {\n${entries.join('\n')}\n};\n`;
}

function generateShaderModule() {
  for (const file of Object.keys(MODULES)) {
    const target = join(root, file);
    const module = shaderModule(file, shaderTexts);
    if (!existsSync(target) || readFileSync(target, 'utf8') !== module) writeFileSync(target, module);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) generateShaderModule();
