// Gathers shaders/**/*.wgsl into src/gpu/shaders.gen.ts, so that tsc, tsdown, Vite, Vitest and Node all read shaders the same way.
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Without its comments, which are half of what a visitor would download (18 KB with gzip in place of 35); lines keep their numbers, for compilers' messages. WGSL has no strings. */
const withoutComments = (text) => text.replace(/[ \t]*\/\/.*$/gm, '');

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const target = join(root, 'src/gpu/shaders.gen.ts');

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

export function shaderModule(texts) {
  const entries = Object.entries(texts).map(([path, text]) => `  ${JSON.stringify(path)}: ${JSON.stringify(text)},`);
  return `// Made by scripts/wgsl.mjs from shaders/.\nexport const shaderText: Readonly<Record<string, string>> = {\n${entries.join('\n')}\n};\n`;
}

function generateShaderModule() {
  const module = shaderModule(shaderTexts());
  if (!existsSync(target) || readFileSync(target, 'utf8') !== module) writeFileSync(target, module);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) generateShaderModule();
