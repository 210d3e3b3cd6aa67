// Upcycles a dense network into experts and trains their router: node main.js [steps]
// Writes before.npz and after.npz: traces that webmoe/viz shows, and NumPy reads.
import { writeFile } from 'node:fs/promises';
import { openDawn } from 'webmoe/node';
import { writeTrace } from 'webmoe/trace';
import { informationOf, train } from './train.js';

const adapter = await (await openDawn()).requestAdapter();
const device = await adapter.requestDevice();
const steps = Number(process.argv[2] ?? 300);
const { before, after, errors } = await train(device, {
  steps,
  onStep: (network, step, error) => {
    if (step % 50 === 0) console.log(`${network} ${step}: mean squared error ${error.toFixed(4)}`);
  },
});
console.log(`dense ${errors.dense.toFixed(4)}, experts ${errors.experts.toFixed(4)}`);
for (const [name, trace] of Object.entries({ before, after })) {
  await writeFile(`${name}.npz`, writeTrace(trace));
  console.log(`${name}.npz: an expert tells ${informationOf(trace).toFixed(2)} of 2 bits of its token's rule`);
}
device.destroy();
process.exit(0);
