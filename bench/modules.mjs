// Modules of src/ for programs in JavaScript: Node 20 reads no TypeScript.
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'vite';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/**
 * @param name of the bundle, one a program
 * @param files under src/
 * @returns all that they export; of equal names, the later file's
 */
export async function fromSource(name, files) {
  spawnSync(process.execPath, [join(root, 'scripts/wgsl.mjs')], { stdio: ['ignore', 'ignore', 'inherit'] });
  // In node_modules, where Git does not look and imports of packages are found.
  const folder = join(root, 'node_modules/.webmoe-bench');
  mkdirSync(folder, { recursive: true });
  const entry = join(folder, `${name}-entry.mjs`);
  const imports = files.map((file, i) => `import * as m${i} from ${JSON.stringify(join(root, 'src', file))};\n`);
  writeFileSync(entry, `${imports.join('')}export default { ${files.map((_, i) => `...m${i}`).join(', ')} };\n`);
  const [{ output }] = await build({
    configFile: false,
    root: folder,
    logLevel: 'silent',
    build: {
      write: false,
      target: 'node20',
      lib: { entry, formats: ['es'], fileName: name },
      rolldownOptions: { external: [/^node:/, 'webgpu'], output: { codeSplitting: false } },
    },
  });
  const bundle = join(folder, `${name}.mjs`);
  writeFileSync(bundle, output[0].code);
  return (await import(pathToFileURL(bundle).href)).default;
}

/** The ids of a tensor of integers in a safetensors file. */
export function idsOf(bytes, name) {
  const length = Number(bytes.readBigUInt64LE(0));
  const tensor = JSON.parse(bytes.subarray(8, 8 + length).toString())[name];
  const [begin, end] = tensor.data_offsets.map((at) => 8 + length + at);
  const size = (end - begin) / tensor.shape.reduce((a, b) => a * b, 1);
  return Array.from({ length: (end - begin) / size }, (_, i) =>
    size === 8 ? Number(bytes.readBigInt64LE(begin + 8 * i)) : bytes.readInt32LE(begin + 4 * i),
  );
}
