/** The bytes that a token stands for in the middle of a text: what a constraint on the output needs, where a token can be half a character. */
import { UnsupportedModel } from '../errors.ts';
import { BYTE_OF, replacer, stripOne, text } from './decoder.ts';
import { isObject, type Json, type JsonObject } from './json.ts';

/** A token on its way through the decoder: text, until a stage says which bytes it is. */
type Content = string | Uint8Array;
type Step = (token: string) => Content;

const encoder = new TextEncoder();

/** Added tokens that count as plain text are blanks, which are not in the byte alphabet. */
function byteLevel(token: string): Content {
  const bytes = Array.from(token, (c) => BYTE_OF.get(c) ?? -1);
  return bytes.includes(-1) ? token : Uint8Array.from(bytes);
}

function byteFallback(token: string): Content {
  const hex = /^<0x([0-9A-Fa-f]{2})>$/.exec(token)?.[1];
  return hex === undefined ? token : Uint8Array.of(parseInt(hex, 16));
}

function refuse(type: unknown): never {
  throw new UnsupportedModel(
    `tokenizer.json: with the decoder ${JSON.stringify(type)} the text of a token depends on its neighbours, so output cannot be constrained`,
    { decoder: type },
  );
}

/** What one decoder does to each token. What it does at the two ends of the whole text is not seen in the middle. */
function stepsOf(node: JsonObject, fused: { now: boolean }): Step[] {
  switch (node.type) {
    case 'Sequence': {
      const inner = Array.isArray(node.decoders) ? node.decoders.filter(isObject) : [];
      return inner.flatMap((decoder) => stepsOf(decoder, fused));
    }
    case 'ByteLevel':
      return [byteLevel];
    case 'ByteFallback':
      return [byteFallback];
    case 'Metaspace': {
      const mark = text(node.replacement, '\u2581');
      return [(token) => token.replaceAll(mark, ' ')];
    }
    case 'Fuse':
      fused.now = true;
      return [];
    case 'Strip': {
      const [content, start, stop] = [text(node.content, ' '), Number(node.start ?? 0), Number(node.stop ?? 0)];
      return fused.now ? [] : [(token) => stripOne(token, content, start, stop)];
    }
    case 'Replace':
      return fused.now ? refuse('Replace') : [replacer(node)];
    default:
      return refuse(node.type);
  }
}

/**
 * @param decoder the `decoder` of tokenizer.json; without one, tokens are words with blanks between
 * @returns the bytes of a token (as the vocabulary writes it) that other tokens precede
 * @throws UnsupportedModel when a token has no bytes of its own
 */
export function createTokenBytes(decoder: Json): (token: string) => Uint8Array {
  const steps = isObject(decoder) ? stepsOf(decoder, { now: false }) : [(token: string): Content => ` ${token}`];
  return (token) => {
    let content: Content = token;
    for (const step of steps) if (typeof content === 'string') content = step(content);
    return typeof content === 'string' ? encoder.encode(content) : content;
  };
}
