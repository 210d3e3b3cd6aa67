/**
 * Tokens to text, one token at a time. Every decoder of tokenizer.json that language models use is a stage that keeps only what it cannot
 * know yet (a started character, a trailing blank), so that a stream and a one-shot decode are the same code.
 */
import { UnsupportedModel } from '../errors.ts';
import { field, isObject, type Json, type JsonObject } from './json.ts';

/** One stage: strings in, strings out; `end` gives what was held back. */
export interface Stage {
  push(token: string): readonly string[];
  end(): readonly string[];
}

const each = (map: (token: string) => string): (() => Stage) => {
  return () => ({ push: (token) => [map(token)], end: () => [] });
};

/** GPT-2's printable stand-ins: byte b is shown as the character `BYTE_CHARACTERS[b]`. */
export const BYTE_CHARACTERS: readonly string[] = Array.from({ length: 256 }, (_, byte) => {
  const printable = (b: number): boolean => (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
  if (printable(byte)) return String.fromCharCode(byte);
  let hidden = 0;
  for (let b = 0; b < byte; b++) if (!printable(b)) hidden++;
  return String.fromCharCode(256 + hidden);
});
/** The byte that a stand-in shows. */
export const BYTE_OF: ReadonlyMap<string, number> = new Map(
  BYTE_CHARACTERS.map((character, byte) => [character, byte]),
);

/** Whole characters out of bytes; the byte order mark is text here. */
class Utf8Stream {
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  #open = false;

  push(bytes: Uint8Array): string {
    this.#open = true;
    return this.#decoder.decode(bytes, { stream: true });
  }

  /** Bytes of an unfinished character become U+FFFD. */
  end(): string {
    if (!this.#open) return '';
    this.#open = false;
    return this.#decoder.decode();
  }
}

/** Added tokens are text already; a token with a character outside the byte alphabet counts as its own UTF-8. */
function byteLevel(added: ReadonlySet<string>): Stage {
  const utf8 = new Utf8Stream();
  const encoder = new TextEncoder();
  return {
    push(token) {
      if (added.has(token)) return [utf8.end() + token];
      const bytes = Array.from(token, (c) => BYTE_OF.get(c) ?? -1);
      return [utf8.push(bytes.includes(-1) ? encoder.encode(token) : Uint8Array.from(bytes))];
    },
    end: () => [utf8.end()],
  };
}

function byteFallback(): Stage {
  const utf8 = new Utf8Stream();
  return {
    push(token) {
      const hex = /^<0x([0-9A-Fa-f]{2})>$/.exec(token)?.[1];
      if (hex !== undefined) return [utf8.push(Uint8Array.of(parseInt(hex, 16)))];
      const rest = utf8.end();
      return rest ? [rest, token] : [token];
    },
    end: () => [utf8.end()],
  };
}

/** The mark of the first token is the blank that encoding put there, unless encoding puts none. */
function metaspace(replacement: string, prepended: boolean): Stage {
  let first = prepended;
  return {
    push(token) {
      const text = token.replaceAll(replacement, first ? '' : ' ');
      first = false;
      return [text];
    },
    end: () => [],
  };
}

export function stripOne(token: string, content: string, start: number, stop: number): string {
  let from = 0;
  let to = token.length;
  while (from < start && token[from] === content) from++;
  while (token.length - to < stop && to > from && token[to - 1] === content) to--;
  return token.slice(from, to);
}

/** Strip over the fused text: up to `start` characters at its very beginning, up to `stop` at its very end. */
function stripFused(content: string, start: number, stop: number): Stage {
  let left = start;
  let held = '';
  return {
    push(token) {
      let text = token;
      while (left > 0 && text) {
        if (text[0] === content) {
          text = text.slice(1);
          left--;
        } else left = 0;
      }
      text = held + text;
      let keep = text.length;
      while (text.length - keep < stop && keep > 0 && text[keep - 1] === content) keep--;
      held = text.slice(keep);
      return [text.slice(0, keep)];
    },
    end: () => [],
  };
}

/** For what needs the whole text at once. */
function whole(map: (text: string) => string): Stage {
  let text = '';
  return {
    push(token) {
      text += token;
      return [];
    },
    end: () => [map(text)],
  };
}

/** Tokens with blanks between, when a checkpoint names no decoder. */
function spaced(): Stage {
  let first = true;
  return {
    push(token) {
      const text = first ? token : ` ${token}`;
      first = false;
      return [text];
    },
    end: () => [],
  };
}

export const text = (value: Json | undefined, fallback: string): string =>
  typeof value === 'string' ? value : fallback;
const count = (value: Json | undefined): number => (typeof value === 'number' ? Math.max(0, Math.min(64, value)) : 0);

export function replacer(config: JsonObject): (token: string) => string {
  const pattern = config.pattern;
  const content = text(config.content, '');
  const literal = isObject(pattern) ? field(pattern, 'String') : undefined;
  if (typeof literal === 'string') return (token) => token.replaceAll(literal, () => content);
  const source = isObject(pattern) ? field(pattern, 'Regex') : undefined;
  if (typeof source !== 'string') throw new UnsupportedModel('tokenizer.json: a Replace decoder without a pattern', {});
  const regex = new RegExp(source, 'gu');
  return (token) => token.replace(regex, () => content);
}

/** @returns makers of the stages, so that each stream has its own state */
function compile(config: Json, added: ReadonlySet<string>): (() => Stage)[] {
  if (!isObject(config)) return [spaced];
  const makers: (() => Stage)[] = [];
  let fused = false;
  const visit = (node: JsonObject): void => {
    switch (node.type) {
      case 'Sequence':
        for (const inner of Array.isArray(node.decoders) ? node.decoders : []) if (isObject(inner)) visit(inner);
        return;
      case 'ByteLevel':
        makers.push(() => byteLevel(added));
        return;
      case 'ByteFallback':
        makers.push(byteFallback);
        return;
      case 'Metaspace': {
        const mark = text(node.replacement, '\u2581');
        const prepended = node.prepend_scheme !== 'never' && node.add_prefix_space !== false;
        makers.push(() => metaspace(mark, prepended));
        return;
      }
      case 'Replace': {
        const replace = replacer(node);
        makers.push(fused ? () => whole(replace) : each(replace));
        return;
      }
      case 'Strip': {
        const [content, start, stop] = [text(node.content, ' '), count(node.start), count(node.stop)];
        makers.push(
          fused ? () => stripFused(content, start, stop) : each((token) => stripOne(token, content, start, stop)),
        );
        return;
      }
      case 'Fuse':
        fused = true;
        return;
      default:
        throw new UnsupportedModel(`tokenizer.json: decoder ${JSON.stringify(node.type)} is not supported`, {
          decoder: node.type,
        });
    }
  };
  visit(config);
  return makers;
}

export interface TextStream {
  /** Text that is certain after this token. */
  push(token: string): string;
  /** The rest; the stream is used up. */
  end(): string;
}

/**
 * @param config the `decoder` of tokenizer.json
 * @param added contents of the added tokens
 * @throws UnsupportedModel for a decoder that no language model uses
 */
export function createDecoder(config: Json, added: ReadonlySet<string>): () => TextStream {
  const makers = compile(config, added);
  return () => {
    const stages = makers.map((make) => make());
    const run = (tokens: readonly string[], from: number): string => {
      let now = tokens;
      for (let i = from; i < stages.length; i++) now = now.flatMap((token) => stages[i]!.push(token));
      return now.join('');
    };
    return {
      push: (token) => run([token], 0),
      end: () => stages.map((stage, i) => run(stage.end(), i + 1)).join(''),
    };
  };
}
