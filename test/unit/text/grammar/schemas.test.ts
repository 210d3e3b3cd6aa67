import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import { createTokenMask } from '../../../../src/text/grammar/index.ts';
import { prng } from '../../../../src/util/prng.ts';
import { schemas } from './support/schemas.ts';
import { shippedEnd, shippedTokenizer, shippedVocabulary } from './support/vocabularies.ts';
import { thinned } from '../../../support/everyday.ts';
import { walk, type Weight } from './support/walk.ts';

const formats: Record<string, (text: string) => boolean> = {
  date: (text) => new Date(`${text}T00:00:00Z`).toISOString().startsWith(text),
  time: (text) => !Number.isNaN(Date.parse(`2000-01-01T${text}`)),
  'date-time': (text) => !Number.isNaN(Date.parse(text)),
  uuid: (text) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text),
  email: (text) => /^[^\s@.]+(\.[^\s@.]+)*@[^\s@.]+(\.[^\s@.]+)+$/.test(text),
  hostname: (text) => text.split('.').every((label) => /^(?!-)[a-z0-9-]{1,63}(?<!-)$/i.test(label)),
  ipv4: (text) =>
    text.split('.').length === 4 &&
    text.split('.').every((part) => String(Number(part)) === part && Number(part) < 256),
  ipv6: (text) => URL.canParse(`http://[${text}]/`),
  duration: (text) => /^P(?!$)(\d+W|(\d+Y)?(\d+M)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+S)?)?)$/.test(text),
};
const ajv = new Ajv2020({ formats, strict: false });

const pieces = Array.from({ length: shippedTokenizer.vocabSize }, (_, id) => shippedTokenizer.decode([id]));
const logitOf = (weigh: (piece: string) => number): Weight => {
  const weights = pieces.map((piece) => Math.exp(weigh(piece)));
  return (id) => weights[id]!;
};
/** What a broken model would like to write. */
const samplers: Readonly<Record<string, Weight>> = {
  even: () => 1,
  quotes: logitOf((piece) => (/["\]}]/.test(piece) ? 9 : 0)),
  backslashes: logitOf((piece) => (piece.includes('\\') ? 9 : /^[dDuU89a-f]/.test(piece) ? 6 : 0)),
  fragments: logitOf((piece) => (piece.includes('\ufffd') ? 11 : 0)),
  blanks: logitOf((piece) => (/^\s|\s$/.test(piece) ? 9 : 0)),
  digits: logitOf((piece) => (/^[-\d.eE+]+$/.test(piece) ? 9 : 0)),
  brackets: logitOf((piece) => (/[[{:,]/.test(piece) ? 9 : 0)),
};
const names = Object.keys(samplers);

describe(`${Object.keys(schemas).length} schemas, 10 walks each`, () => {
  it.each(thinned(Object.entries(schemas), 5))('%s', (name, schema) => {
    const validate = ajv.compile(schema);
    const random = prng(name.length * 7919 + name.charCodeAt(0));
    const { closingCost } = createTokenMask({ schema }, shippedVocabulary);
    for (let i = 0; i < 10; i++) {
      const maxTokens = closingCost + Math.floor(random() ** 3 * 150);
      const mask = createTokenMask({ schema }, shippedVocabulary, { maxTokens });
      const ids = walk(mask, samplers[names[i % names.length]!]!, random, maxTokens, shippedEnd);
      const text = shippedTokenizer.decode(ids, { verbatim: true });
      expect(mask.mayEnd, text).toBe(true);
      expect(validate(JSON.parse(text)), `${text} ${JSON.stringify(validate.errors)}`).toBe(true);
      expect(/\p{Surrogate}/u.test(text + JSON.stringify(JSON.parse(text)))).toBe(false);
    }
  });
});

it('without the mask hardly anything is JSON, let alone valid', () => {
  const random = prng(3);
  const everything = new Uint32Array(shippedVocabulary.all.twins.length / 32).fill(~0);
  const free = { bits: everything, isDone: false, mayEnd: true, closingCost: 0, accept: () => undefined };
  let valid = 0;
  for (const schema of thinned(Object.values(schemas), 5)) {
    const ids = walk(free, samplers.even!, random, 20, shippedEnd);
    try {
      if (ajv.validate(schema, JSON.parse(shippedTokenizer.decode(ids)))) valid++;
    } catch {
      continue;
    }
  }
  expect(valid).toBe(0);
});
