// The SPIR-V that Dawn makes of a shader, as text. In a process of its own: Dawn writes it to that process's output.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { root } from './modules.mjs';

const COMPILER = fileURLToPath(new URL('./spirv-compile.mjs', import.meta.url));
const BEGIN = '/* Dumped SPIRV disassembly */';
const END = 'OpFunctionEnd';

/**
 * On SwiftShader, which does not check bounds itself: indices are clamped as they are on Metal and D3D12.
 * @param shaders each { path, code }; the entry point has the file's own name
 * @returns each shader's text
 */
export function spirvOf(shaders) {
  const env = { ...process.env };
  // Whatever driver was chosen for the rest.
  delete env.VK_ICD_FILENAMES;
  delete env.VK_DRIVER_FILES;
  const { stdout, stderr, status } = spawnSync(process.execPath, [COMPILER], {
    env,
    cwd: root,
    input: JSON.stringify(shaders),
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
  });
  const texts = `${stdout}\n${stderr}`.split(BEGIN).slice(1);
  if (status !== 0 || texts.length !== shaders.length)
    throw new Error(`${texts.length} of ${shaders.length} shaders compiled: ${stderr.slice(-2000)}`);
  return texts.map((text) => text.slice(0, text.lastIndexOf(END) + END.length));
}
