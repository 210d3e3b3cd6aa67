// Gathers shaders/**/*.wgsl into src/gpu/shaders.gen.ts, so that tsc, tsdown, Vite, Vitest and Node all read shaders the same way.
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Without its comments, which are half of what a visitor would download (18 KB with gzip in place of 35); lines keep their numbers, for compilers' messages. WGSL has no strings. */
const withoutComments = (text) => text.replace(/[ \t]*\/\/.*$/gm, '');

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const target = join(root, 'src/gpu/shaders.gen.ts');

export function generateShaderModule() {
  const files = readdirSync(join(root, 'shaders'), { recursive: true })
    .map(String)
    .map((f) => f.replaceAll('\\', '/'))
    .filter((f) => f.endsWith('.wgsl'))
    .sort();
  const entries = files.map((f) => {
    const text = readFileSync(join(root, 'shaders', f), 'utf8');
    return `  ${JSON.stringify(f.replace(/\.wgsl$/, ''))}: ${JSON.stringify(withoutComments(text))},`;
  });
  const module = `// Made by scripts/wgsl.mjs from shaders/.\nexport const shaderText: Readonly<Record<string, string>> = {\n${entries.join('\n')}\n};\n`;
  if (!existsSync(target) || readFileSync(target, 'utf8') !== module) writeFileSync(target, module);
}

generateShaderModule();
