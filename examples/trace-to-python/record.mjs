// Answers a prompt and writes which experts every token took: node record.mjs MODEL [PROMPT]
// MODEL is a folder or a URL. Writes run.npz (numpy.load) and run.json (the shape of vLLM's responses) into the current folder.
import { writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { load } from 'webmoe/node';
import { expertBytesOf, replay, toVllm, traceOf, writeTrace } from 'webmoe/trace';

const [source, prompt = 'abcdefgh'] = process.argv.slice(2);
if (!source) {
  console.error('usage: node record.mjs MODEL [PROMPT]');
  process.exit(2);
}
const model = await load(source, { contextLength: 256 });
try {
  const answer = model.generate(prompt, { maxTokens: 16, temperature: 0, ignoreEnd: true, promptRouting: true });
  let next = await answer.next();
  while (!next.done) next = await answer.next();
  const name = basename(source);
  const trace = traceOf(
    next.value,
    { name, expertBytes: expertBytesOf(model.plan) },
    {
      chat: { name: prompt, domain: null },
      provenance: { kind: 'recorded', note: 'examples/trace-to-python', date: new Date().toISOString() },
    },
  );
  await writeFile('run.npz', writeTrace(trace));
  await writeFile('run.json', JSON.stringify(toVllm(next.value, name)));
  const slots = Math.ceil((trace.model.layers * trace.model.experts) / 2);
  const { hitRate } = replay(trace, { policy: 'lru', capacity: { slots } });
  console.log(
    `run.npz, run.json: ${trace.steps.length} steps; LRU with ${slots} slots hits ${(100 * hitRate).toFixed(1)} %`,
  );
} finally {
  await model.dispose();
}
