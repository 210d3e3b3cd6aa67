/** Sources of LoRA adapters among the options of `load`: on their way to a worker, and opened there or here. */
import type { ModelSource } from '../engine/model-source.ts';
import type { ByteSource } from '../weights/source.ts';
import { absolute } from './absolute.ts';
import type { Handlers } from './connection.ts';
import { sendSource, type WireSource } from './worker/wire-source.ts';

/** `Source`: what an adapter is at this point. */
export interface AdapterOptions<Source> {
  /** Where a LoRA adapter is (PEFT: adapter_config.json and adapter_model.safetensors), to be merged into the weights. */
  readonly adapter?: Source | null | undefined;
  /** LoRA adapters by name, of which each request may choose one with its own option `adapter`: docs/formats.md. */
  readonly adapters?: Readonly<Record<string, Source>> | undefined;
}

export type WireAdapters = AdapterOptions<WireSource>;

/** @returns what is sent, and what the page answers about it afterwards */
export function sendAdapters({ adapter, adapters }: AdapterOptions<ModelSource>): {
  readonly wire: WireAdapters;
  readonly handlers: readonly Handlers[];
} {
  const handlers: Handlers[] = [];
  const send = (source: ModelSource, channel: string): WireSource => {
    const sent = sendSource(absolute(source), channel);
    handlers.push(sent.handlers);
    return sent.wire;
  };
  const named = Object.entries(adapters ?? {}).map(([name, source], i) => [name, send(source, `adapter ${i}`)]);
  const wire = {
    ...(adapter && { adapter: send(adapter, 'adapter') }),
    ...(named.length > 0 && { adapters: Object.fromEntries(named) as Record<string, WireSource> }),
  };
  return { wire, handlers };
}

export async function openAdapters<Source>(
  { adapter, adapters }: AdapterOptions<Source>,
  open: (source: Source) => Promise<ByteSource>,
): Promise<AdapterOptions<ByteSource>> {
  const named = async ([name, source]: [string, Source]): Promise<[string, ByteSource]> => [name, await open(source)];
  return {
    adapter: adapter ? await open(adapter) : null,
    adapters: Object.fromEntries(await Promise.all(Object.entries(adapters ?? {}).map(named))),
  };
}

/** What a page answers about several sources. */
export const together = (all: readonly Handlers[]): Handlers => ({
  calls: Object.assign({}, ...all.map((h) => h.calls)) as Handlers['calls'],
  streams: Object.assign({}, ...all.map((h) => h.streams)) as Handlers['streams'],
  transfers: new Set(all.flatMap((h) => [...(h.transfers ?? [])])),
});
