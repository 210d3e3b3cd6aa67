// Compiles the shaders that come as JSON, one after the other, on Dawn that dumps what it makes. Started by spirv.mjs.
import { readFileSync } from 'node:fs';
import { fromSource } from './modules.mjs';

const { openDawn, openGpu, entryPoint } = await fromSource('spirv', ['node.ts', 'gpu/open.ts', 'gpu/shader.ts']);
const toggles = ['enable-dawn-features=dump_shaders'];
const gpu = await openGpu({ gpu: await openDawn({ software: true, toggles }) });
for (const { path, code } of JSON.parse(readFileSync(0, 'utf8'))) {
  const module = gpu.device.createShaderModule({ code });
  await gpu.device.createComputePipelineAsync({ layout: 'auto', compute: { module, entryPoint: entryPoint(path) } });
}
process.exit(0);
