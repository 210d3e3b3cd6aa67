/** A tokenizer as NLLB's for a vocabulary of 96: words w0 to w88, and the codes of three languages. */

const SPECIAL = ['<s>', '<pad>', '</s>', '<unk>'];
const CODES = { eng_Latn: 93, deu_Latn: 94, fra_Latn: 95 };

export type AffixOrder = 'code first' | 'code last';

/** tokenizer.json, which puts English's code and the end token around every text: the code first as the model was trained, or last as in the first releases. */
export function languageTokenizer(order: AffixOrder): object {
  const token = (id: string): object => ({ SpecialToken: { id, type_id: 0 } });
  const text = { Sequence: { id: 'A', type_id: 0 } };
  const used = { eng_Latn: CODES.eng_Latn, '</s>': 2 };
  return {
    added_tokens: [...SPECIAL.map((content, id) => [content, id] as const), ...Object.entries(CODES)].map(
      ([content, id]) => ({ id, content, special: true }),
    ),
    pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true },
    post_processor: {
      type: 'TemplateProcessing',
      single:
        order === 'code first' ? [token('eng_Latn'), text, token('</s>')] : [text, token('</s>'), token('eng_Latn')],
      special_tokens: Object.fromEntries(
        Object.entries(used).map(([id, number]) => [id, { id, ids: [number], tokens: [id] }]),
      ),
    },
    decoder: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true },
    model: {
      type: 'Unigram',
      unk_id: 3,
      vocab: [...SPECIAL, ...Array.from({ length: 89 }, (_, i) => `▁w${i}`)].map((piece, i) => [piece, -2 - i / 100]),
    },
  };
}
