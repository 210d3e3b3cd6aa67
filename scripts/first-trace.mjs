// Makes the trace that the routing page opens first: node scripts/first-trace.mjs
// Three chats of smolmoe.npz whose texts are all known, the one with the routers' logits first: a fifth of the size, so that the first figure comes soon.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromSource, root } from '../bench/modules.mjs';

const CHATS = [3, 0, 1];
const { joinTraces, readTrace, tokensOf, writeTrace } = await fromSource('first-trace', ['trace/index.ts']);
const folder = join(root, 'demo/visualiser/data');
const all = readTrace(new Uint8Array(readFileSync(join(folder, 'smolmoe.npz'))), 'smolmoe');

/** One conversation as a trace of its own. */
function only(chat) {
  const { model, steps, timing, logits } = all;
  const [first, end] = [steps.findIndex((s) => s.chat === chat), steps.findLastIndex((s) => s.chat === chat) + 1];
  const [from, to] = [tokensOf(steps.slice(0, first)), tokensOf(steps.slice(0, end))];
  const rows = (values, each) => values && values.slice(from * each, to * each);
  const taken = model.layers * model.topK;
  const own = rows(logits, model.layers * model.experts);
  return {
    ...all,
    steps: steps.slice(first, end).map((step) => ({ ...step, chat: 0 })),
    ids: rows(all.ids, taken),
    weights: rows(all.weights, taken),
    origins: rows(all.origins, taken),
    tokens: rows(all.tokens, 1),
    texts: rows(all.texts, 1),
    logprobs: rows(all.logprobs, 1),
    logits: own?.some((value) => !Number.isNaN(value)) ? own : null,
    timing: timing && Object.fromEntries(Object.entries(timing).map(([name, of]) => [name, of.slice(first, end)])),
    chats: [all.chats[chat]],
  };
}

const trace = joinTraces(CHATS.map(only));
const file = writeTrace(trace);
writeFileSync(join(folder, 'smolmoe-first.npz'), file);
console.log(`smolmoe-first.npz: ${trace.chats.length} chats, ${tokensOf(trace.steps)} tokens, ${file.length} bytes`);
