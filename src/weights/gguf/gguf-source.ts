/**
 * A GGUF file as the folder that it was made from: config.json, tokenizer.json, tokenizer_config.json and generation_config.json are written from its
 * metadata, and the weights are the file itself. Everything above sees a model folder.
 */
import { checkFileName } from '../file-name.ts';
import type { ByteSource } from '../source.ts';
import { generationConfig, tokenizerConfig } from './chat.ts';
import { ggufConfig } from './config.ts';
import { readLongRopeFactors } from './long-rope.ts';
import { modelFile } from './model-file.ts';
import { readSplits } from './splits.ts';
import { ggufTokenizer } from './tokenizer.ts';
import { Vocabulary } from './vocabulary.ts';

type Texts = ReadonlyMap<string, Uint8Array>;

const WRITTEN = ['config.json', 'tokenizer.json', 'tokenizer_config.json', 'generation_config.json'] as const;

async function write(source: ByteSource, file: string, signal?: AbortSignal): Promise<Texts> {
  const headers = await readSplits(source, file, signal);
  const [{ metadata }] = headers as [(typeof headers)[number]];
  const tensors = new Map(headers.flatMap((h) => [...h.tensors]));
  const vocabulary = metadata.has('tokenizer.ggml.tokens') ? new Vocabulary(metadata, file) : null;
  const id = (key: string): number | null => vocabulary?.named(key)?.id ?? null;
  const ids = { bos: id('bos_token_id'), eos: id('eos_token_id') };
  const model = modelFile(headers[0]!, tensors, await readLongRopeFactors(source, headers, signal));
  const json: Record<string, unknown> = { 'config.json': ggufConfig(model, file, ids) };
  if (vocabulary) {
    const whole = metadata.get('tokenizer.huggingface.json');
    json['tokenizer.json'] = typeof whole === 'string' ? whole : ggufTokenizer(vocabulary);
    json['tokenizer_config.json'] = tokenizerConfig(vocabulary, metadata);
    json['generation_config.json'] = generationConfig(vocabulary, metadata);
  }
  const utf8 = new TextEncoder();
  const texts = Object.entries(json).map(([name, value]): [string, Uint8Array] => [
    name,
    utf8.encode(typeof value === 'string' ? value : JSON.stringify(value)),
  ]);
  return new Map(texts);
}

/**
 * @param source where the file is, and its splits, if there are any
 * @throws InvalidCheckpoint `path` for a name that is none of a plain file. What the file itself breaks is said when it is first read.
 */
export function ggufSource(source: ByteSource, file: string): ByteSource {
  checkFileName(file);
  const isWritten = (name: string): boolean => (WRITTEN as readonly string[]).includes(name);
  let written: Promise<Texts> | null = null;
  const texts = async (signal?: AbortSignal): Promise<Texts> => {
    signal?.throwIfAborted();
    const own = !written;
    const pending = (written ??= write(source, file, signal));
    return pending.catch((error: unknown) => {
      if (written === pending) written = null;
      signal?.throwIfAborted();
      if (own) throw error;
      return texts(signal); // who began was aborted, or failed where we may succeed
    });
  };
  const within = (base: string): string => `${base}${base.endsWith('/') ? '' : '/'}${file}`;
  const isPassed = (name: string): boolean => /\.gguf$/i.test(name);
  return {
    label: within(source.label),
    ...(source.key !== undefined && { key: within(source.key) }),
    ...(source.origin && { origin: source.origin }),
    seeks: (name) => isWritten(name) || (source.seeks?.(name) ?? true),
    willReadAll: () => source.willReadAll?.(),
    version: (name) => source.version?.(isWritten(name) ? file : name) ?? null,
    async size(name, signal) {
      checkFileName(name);
      if (isWritten(name)) return (await texts(signal)).get(name)?.length ?? null;
      return isPassed(name) ? source.size(name, signal) : null;
    },
    async *stream(name, begin, end, signal) {
      if (!isWritten(name)) {
        yield* source.stream(name, begin, end, signal);
        return;
      }
      const text = (await texts(signal)).get(name);
      if (text) yield text.slice(begin, end);
    },
  };
}
