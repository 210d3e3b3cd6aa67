// Records the sessions that the page plays without a model: asks the questions of demo/recorded/sessions.json and writes what came, token by token, with its routing.
//   node scripts/record-session.mjs [--model DIR] [--seed N] [--max-tokens N] [ID ...]        needs a built package: npm run build
import { Buffer } from 'node:buffer';
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { load } from 'webmoe/node';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const folder = join(root, 'demo/recorded');
const { values, positionals } = parseArgs({
  options: {
    model: { type: 'string', default: join(root, 'models/smolmoe-135m-instruct') },
    seed: { type: 'string', default: '1' },
    'max-tokens': { type: 'string', default: '100' },
  },
  allowPositionals: true,
});
const dir = resolve(values.model);
const seed = Number(values.seed);
const maxTokens = Number(values['max-tokens']);

/** What names this state of the model: there is no commit in a folder. */
async function revisionOf(file) {
  const hash = createHash('sha256');
  for await (const piece of createReadStream(file)) hash.update(piece);
  return `sha256:${hash.digest('hex').slice(0, 16)}`;
}

/** How the weights are published, as their config says. */
function weightsOf() {
  const { quantization_config: quantization, torch_dtype: dtype } = JSON.parse(
    readFileSync(join(dir, 'config.json'), 'utf8'),
  );
  return quantization ? [quantization.quant_method, quantization.format].filter(Boolean).join(' ') : dtype;
}

/** Ids as bytes, weights as bytes of the greatest one: half of what f16 takes, and finer than any picture of them. */
function packRouting(tokens) {
  const layers = tokens.flatMap(({ routing }) => routing);
  const ids = layers.flatMap((layer) => [...layer.ids]);
  if (ids.some((id) => id > 255)) throw new Error('a recording holds ids of at most 256 experts');
  const weights = layers.flatMap((layer) => [...layer.weights]);
  const weightScale = weights.reduce((a, b) => Math.max(a, b), 0);
  const bytes = weights.map((w) => Math.round((255 * w) / weightScale));
  return {
    weightScale,
    ids: Buffer.from(ids).toString('base64'),
    weights: Buffer.from(bytes).toString('base64'),
  };
}

async function ask(model, messages) {
  const begun = performance.now();
  const tokens = [];
  const ms = [];
  const answer = model.generate(messages, { seed, maxTokens });
  for (;;) {
    const { value, done } = await answer.next();
    if (done) {
      const { finishReason, promptTokens, cachedTokens, generatedTokens, timeToFirstTokenMs, tokensPerSecond } = value;
      const end = { finishReason, promptTokens, cachedTokens, generatedTokens, timeToFirstTokenMs, tokensPerSecond };
      const texts = tokens.map(({ text }) => text);
      const tokenIds = tokens.map(({ id }) => id);
      return { text: texts.join(''), end, ms, tokenIds, tokens: texts, ...packRouting(tokens) };
    }
    ms.push(Math.round(performance.now() - begun));
    tokens.push(value);
  }
}

async function record(model, about, session) {
  const messages = [];
  const turns = [];
  for (const question of session.questions) {
    messages.push({ role: 'user', content: question });
    const turn = await ask(model, messages);
    messages.push({ role: 'assistant', content: turn.text });
    turns.push({ question, ...turn });
    console.log(`${session.id}: ${question}\n${turn.text}\n(${turn.end.finishReason}, ${turn.tokens.length} tokens)\n`);
  }
  const text = JSON.stringify({ format: 'webmoe-recording', version: 1, id: session.id, ...about, turns }, null, 1);
  writeFileSync(
    join(folder, `${session.id}.json`),
    `${text.replace(/\[[\s\d,]+\]/g, (list) => list.replace(/\s+/g, ''))}\n`,
  );
}

const sessions = JSON.parse(readFileSync(join(folder, 'sessions.json'), 'utf8'));
const wanted = positionals.length > 0 ? sessions.filter(({ id }) => positionals.includes(id)) : sessions;
const weights = join(dir, 'model.safetensors');
const revision = await revisionOf(existsSync(weights) ? weights : join(dir, 'model.safetensors.index.json'));
const model = await load(dir);
const { adapter } = model.device;
const moe = model.config.layers.map(({ ffn }) => ffn).filter(({ kind }) => kind === 'moe');
if (moe.length === 0) throw new Error(`${dir}: a recording is of a model with experts`);
const about = {
  recordedAt: new Date().toISOString(),
  model: { name: basename(dir), revision, weights: weightsOf(), precision: model.plan.precision },
  adapter: adapter.description || adapter.architecture || adapter.vendor || 'unnamed',
  seed,
  sampling: model.samplingDefaults,
  shape: { layers: moe.length, experts: moe[0].experts, topK: moe[0].topK },
};
for (const session of wanted) await record(model, about, session);
await model.dispose();
