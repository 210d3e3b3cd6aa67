// How long a mask takes: `node bench/grammar.mjs`. Walks through schemas with random tokens; cold masks are new states, warm ones seen before.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromSource, root } from './modules.mjs';

const { createTokenMask, loadTokenizer, prepareVocabulary, prng } = await fromSource('grammar', [
  'text/grammar/index.ts',
  'text/tokenizer.ts',
  'util/prng.ts',
]);

const model = join(root, 'models/smolmoe-135m-instruct');
const shipped = loadTokenizer(readFileSync(join(model, 'tokenizer.json'), 'utf8'), null);

/** The shipped tokens, then pairs of them, until there are `size`: as many runs and fragments, and longer tokens, as large vocabularies have. */
function grown(size) {
  const random = prng(1);
  const bytes = Array.from({ length: shipped.vocabSize }, (_, id) => shipped.idToBytes(id));
  const seen = new Set(bytes.map(String));
  const drawn = () => bytes[Math.floor(random() * shipped.vocabSize)] ?? new Uint8Array();
  while (bytes.length < size) {
    const pair = Uint8Array.from([...drawn(), ...drawn()]);
    if (pair.length > 16 || seen.has(String(pair))) continue;
    seen.add(String(pair));
    bytes.push(pair);
  }
  return { vocabSize: size, addedTokens: shipped.addedTokens, idToBytes: (id) => bytes[id] ?? null };
}

const text = { type: 'string' };
const person = {
  type: 'object',
  properties: {
    name: text,
    city: { type: 'string', maxLength: 40 },
    age: { type: 'integer', minimum: 0 },
    tags: { type: 'array', items: text },
  },
  required: ['name', 'city', 'age', 'tags'],
  additionalProperties: false,
};
const constraints = {
  'any JSON': { json: 'value' },
  schema: { schema: person },
  'bounded string': { schema: { type: 'string', maxLength: 500 } },
  pattern: { schema: { type: 'string', pattern: '^([A-Z][a-z]+ ){1,20}$' } },
};

const at = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
const format = (times) => {
  const sorted = times.sort((a, b) => a - b);
  return [0.5, 0.99, 1].map((share) => at(sorted, share).toFixed(3)).join(' / ');
};

/** Milliseconds of each mask of a walk of `tokens` random tokens, with a budget that closes it. */
function walk(constraint, vocabulary, random, tokens, times) {
  const mask = createTokenMask(constraint, vocabulary, { maxTokens: tokens });
  while (!mask.isDone && tokens-- > 0) {
    const start = performance.now();
    const { bits } = mask;
    times.push(performance.now() - start);
    let id;
    do id = Math.floor(random() * vocabulary.size);
    while (!((bits[id >>> 5] >>> (id & 31)) & 1));
    if (vocabulary.endTokens.includes(id)) return;
    mask.accept(id);
  }
}

for (const [name, tokenizer] of [
  ['shipped', shipped],
  ['synthetic', grown(151_936)],
]) {
  const start = performance.now();
  const vocabulary = prepareVocabulary(tokenizer, [2]);
  console.log(`${name}, ${vocabulary.size} tokens: prepared in ${(performance.now() - start).toFixed(0)} ms`);
  for (const [kind, constraint] of Object.entries(constraints)) {
    const [first, later] = [[], []];
    const begin = performance.now();
    createTokenMask(constraint, vocabulary);
    const compiled = performance.now() - begin;
    for (let i = 0; i < 20; i++) walk(constraint, vocabulary, prng(i), 100, i === 0 ? first : later);
    console.log(
      `  ${kind}: compiled in ${compiled.toFixed(1)} ms; ms a mask (median / p99 / most): first walk ${format(first)}, 19 more ${format(later)}`,
    );
  }
}
