/** The data that comes with the visualiser. Nothing is fetched before somebody asks, and then from beside the page: any base path will do. */
import { readCounts, readTrace, type CountsTable, type Provenance, type Trace } from '../../../src/trace/index.ts';

interface Entry<Kind extends string, Data> {
  /** Stays the same for good: links name it. */
  readonly id: string;
  readonly name: string;
  readonly kind: Kind;
  /** Known before the data is there. */
  readonly provenance: Provenance;
  readonly url: URL;
  /** @throws InvalidTrace when the file is damaged; Error when it cannot be fetched */
  load(options?: { readonly signal?: AbortSignal; readonly fetch?: typeof fetch }): Promise<Data>;
}

export type BundledTrace = Entry<'trace', Trace>;
export type BundledCounts = Entry<'counts', CountsTable>;

async function bytesOf(
  url: URL,
  { signal, fetch: get = fetch }: { readonly signal?: AbortSignal; readonly fetch?: typeof fetch } = {},
): Promise<Uint8Array> {
  const response = await get(url, signal ? { signal } : {});
  if (!response.ok) throw new Error(`${url.href} answers ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

/** The provenance shown before and after loading is one: that of the file, if it names one, is less complete. */
const trace = (id: string, name: string, url: URL, provenance: Provenance): BundledTrace => ({
  ...{ id, name, kind: 'trace', provenance, url },
  load: async (options) => ({ ...readTrace(await bytesOf(url, options), name), provenance }),
});
const counts = (id: string, name: string, url: URL, provenance: Provenance): BundledCounts => ({
  ...{ id, name, kind: 'counts', provenance, url },
  load: async (options) => ({ ...readCounts(await bytesOf(url, options), name), provenance }),
});

const phone = (what: string): Provenance => ({
  kind: 'published',
  note: `${what}, one chat run on a phone: github.com/Helldez/BigMoeOnEdge, commit 2d4f2b1, Apache-2.0`,
  date: '2026-07-15',
});
const paper: Provenance = {
  kind: 'published',
  note: 'Counts of about 209,000 tokens a domain, published with the OLMoE paper (arXiv 2409.02060): github.com/allenai/OLMoE, commit 357454f, Apache-2.0',
};

export const BUNDLED: readonly (BundledTrace | BundledCounts)[] = [
  trace('smolmoe-first', 'SmolMoE-135M-Instruct, 3 chats', new URL('./smolmoe-first.npz', import.meta.url), {
    kind: 'recorded',
    note: 'The model that comes with webmoe: three chats, answers of 48 tokens, temperature 0.7, seeds 4, 1 and 2. Times are those of a software GPU',
  }),
  trace('smolmoe', 'SmolMoE-135M-Instruct, 20 chats', new URL('./smolmoe.npz', import.meta.url), {
    kind: 'recorded',
    note: 'The model that comes with webmoe: 20 chats in eight domains, answers of 48 tokens, temperature 0.7, seeds 1 to 20. Times are those of a software GPU; of the last 16 answers the texts are unknown',
  }),
  trace('qwen', 'Qwen3-30B-A3B', new URL('./qwen.npz', import.meta.url), phone('Qwen3-30B-A3B at 6 experts a token')),
  trace(
    'gemma',
    'Gemma-4-26B-A4B',
    new URL('./gemma.npz', import.meta.url),
    phone('Gemma-4-26B-A4B at 6 experts a token'),
  ),
  trace('gptoss', 'gpt-oss-120b', new URL('./gptoss.npz', import.meta.url), phone('gpt-oss-120b at 2 experts a token')),
  counts('olmoe', 'OLMoE-1B-7B, published counts', new URL('./olmoe-counts.npz', import.meta.url), paper),
  counts('mixtral', 'Mixtral-8x7B, published counts', new URL('./mixtral-counts.npz', import.meta.url), paper),
];

/** @returns undefined when a link names data that no longer comes with the page */
export const bundledById = (id: string): BundledTrace | BundledCounts | undefined => BUNDLED.find((b) => b.id === id);
