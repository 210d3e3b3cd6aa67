// A model in less memory than it has experts, then in all of it: node main.js [model]
import { load } from 'webmoe/node';

const model = await load(process.argv[2] ?? 'allenai/OLMoE-1B-7B-0924-Instruct', { expertsResident: 0.5 });
const stop = model.onStep(({ mode, hits, misses }) =>
  process.stderr.write(`${mode}: ${hits} hits, ${misses} misses\n`),
);

async function answer() {
  let text = '';
  for await (const token of model.generate('The capital of France is', { temperature: 0, maxTokens: 8 }))
    text += token.text;
  const { slots, experts } = await model.expertStats();
  console.log(`${slots} of ${experts} experts have a place:${text}`);
}

await answer();
await model.setGpuBytes(model.plan.fullBytes);
await answer(); // the same text
stop();
await model.dispose();
