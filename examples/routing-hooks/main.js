// Which experts answer, and what changes when one may not: node main.js [model] [prompt]
import { load } from 'webmoe/node';

const model = await load(process.argv[2] ?? 'allenai/OLMoE-1B-7B-0924-Instruct');
const prompt = process.argv[3] ?? 'The capital of France is';
const options = { temperature: 0, maxTokens: 8 };

/** How often each expert of the first MoE layer was among the chosen. */
async function answer(interventions) {
  const uses = new Map();
  let text = '';
  for await (const token of model.generate(prompt, { ...options, ...(interventions && { interventions }) })) {
    const [first] = token.routing;
    console.log(
      JSON.stringify(token.text),
      'layer 0:',
      [...first.ids].map((id, k) => `${id} (${first.weights[k].toFixed(2)})`).join(' '),
    );
    for (const id of first.ids) uses.set(id, (uses.get(id) ?? 0) + 1);
    text += token.text;
  }
  return { text, busiest: [...uses].sort((a, b) => b[1] - a[1])[0][0] };
}

const exact = await answer();
console.log(`\nWithout expert ${exact.busiest} of layer 0:`);
const without = await answer({ mask: [[0, exact.busiest]] });
console.log(`\nexact:   ${exact.text}\nwithout: ${without.text}`);

await model.dispose();
