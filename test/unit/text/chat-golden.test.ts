import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { loadChatTemplate } from '../../../src/text/chat-template.ts';
import { encodeChat } from '../../../src/text/encode-chat.ts';
import { loadTokenizer } from '../../../src/text/tokenizer.ts';
import { shipped } from './support/fixtures.ts';

const golden = new URL('../../golden/smolmoe-135m-instruct/', import.meta.url);

/** Integer tensors of the golden file, read by hand: the reader of the product is not under test here. */
function goldenIds(): Map<string, number[]> {
  const bytes = readFileSync(new URL('golden.safetensors', golden));
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString()) as Record<
    string,
    { dtype?: string; data_offsets?: [number, number] }
  >;
  const ids = new Map<string, number[]>();
  for (const [name, { dtype, data_offsets: range }] of Object.entries(header)) {
    if (!range || !(dtype === 'I64' || dtype === 'I32')) continue;
    const data = bytes.subarray(8 + length + range[0], 8 + length + range[1]);
    const size = dtype === 'I64' ? 8 : 4;
    ids.set(
      name,
      Array.from({ length: data.length / size }, (_, i) => data.readInt32LE(i * size)),
    );
  }
  return ids;
}

describe('the shipped model', () => {
  const tokenizer = loadTokenizer(shipped.tokenizerJson, shipped.tokenizerConfig, 49152);
  const chats = JSON.parse(readFileSync(new URL('golden.json', golden), 'utf8')) as Record<
    string,
    { question?: string; answer?: string }
  >;
  const ids = goldenIds();
  const names = Object.keys(chats).filter((name) => chats[name]!.question !== undefined);

  it('has golden chats', () => expect(names.length).toBeGreaterThanOrEqual(4));

  for (const [from, jinja] of [
    ['chat_template.jinja', shipped.jinja],
    ['tokenizer_config.json', null],
  ] as const) {
    it.each(names)(`gives the golden prompt ids with the template of ${from}: %s`, (name) => {
      const template = loadChatTemplate(jinja, shipped.tokenizerConfig)!;
      const prompt = encodeChat(tokenizer, template, [{ role: 'user', content: chats[name]!.question! }]);
      expect([...prompt]).toEqual(ids.get(`${name}_prompt_ids`));
    });
  }

  it('decodes the golden answers', () => {
    for (const name of names) {
      const answer = ids.get(`${name}_answer_ids`) ?? ids.get(`${name}_ids`) ?? ids.get(`${name}_greedy_ids`);
      if (answer) expect(tokenizer.decode(answer, { skipSpecial: true })).toContain(chats[name]!.answer!.slice(0, 40));
    }
  });
});
