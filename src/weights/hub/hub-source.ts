/**
 * A model on a Hub as a byte source: one commit for all files, whose names and sizes come from one list, so that nothing is asked about a file
 * before its bytes are wanted.
 */
import { SourceError, UnsupportedModel } from '../../errors.ts';
import { isOffline } from '../../util/offline.ts';
import { orAborted } from '../../util/abort.ts';
import { checkFileName } from '../file-name.ts';
import { httpSource } from '../http-source.ts';
import type { ByteSource } from '../source.ts';
import { HubApi, type HubApiOptions, type HubFile } from './hub-api.ts';
import { hubRefusal } from './hub-errors.ts';
import { isCommit, readHubModel, type HubModel, type HubPlace } from './hub-model.ts';

export interface HubOptions extends HubApiOptions {
  /** As in `fetch`; "no-store" where the bytes are kept elsewhere. */
  readonly cache?: RequestCache | undefined;
  /** Label of this model in an earlier session: it is used again when the Hub does not answer. */
  readonly remembered?: string | null | undefined;
  /** How long the Hub may take to name the commit where one is remembered; default 3000. Then it counts as away. */
  readonly checkMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** So long after the Hub did not answer it is not asked again. */
const BELIEVED_MS = 3000;

/**
 * Looks up the commit, and the list of its files unless an earlier session knew them.
 * @throws InvalidRequest for an id, revision, endpoint or token that cannot be one
 * @throws SourceError; `details.reason` is `gated`, `no-access`, `no-such-model` or `no-such-revision` where the Hub refuses
 * @throws UnsupportedModel when the repository has no safetensors
 */
export async function openHub(model: HubModel, options: HubOptions = {}): Promise<ByteSource> {
  const place = readHubModel(model);
  const api = new HubApi(place, options);
  const before = commitIn(options.remembered ?? null, place);
  const { commit, failure } = await commitNow(place, api, before, options);
  const source = new HubSource(place, commit, api, failure, options);
  if (commit !== before) await source.list(options.signal);
  return source;
}

const labelOf = ({ endpoint, id }: HubPlace, commit: string): string => `${endpoint}/${id}@${commit}`;

function commitIn(label: string | null, place: HubPlace): string | null {
  const commit = label?.slice(-40) ?? '';
  return isCommit(commit) && label === labelOf(place, commit) ? commit : null;
}

interface Resolved {
  readonly commit: string;
  /** Why the remembered one is used. */
  readonly failure: SourceError | null;
}

async function commitNow(place: HubPlace, api: HubApi, before: string | null, options: HubOptions): Promise<Resolved> {
  const { signal, checkMs = 3000 } = options;
  if (isCommit(place.revision)) return { commit: place.revision, failure: null };
  if (before === null) return { commit: await api.resolve(signal), failure: null };
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(new SourceError(`${place.key}: no answer within ${checkMs} ms`)), checkMs);
  try {
    if (isOffline()) throw new SourceError(`${place.key}: this device is offline`);
    const commit = await api.resolve(signal ? AbortSignal.any([signal, late.signal]) : late.signal);
    return { commit, failure: null };
  } catch (error) {
    signal?.throwIfAborted();
    if (!(error instanceof SourceError)) throw error;
    return { commit: before, failure: error };
  } finally {
    clearTimeout(timer);
  }
}

class HubSource implements ByteSource {
  readonly label: string;
  readonly key: string;
  readonly origin = 'network';
  readonly #place: HubPlace;
  readonly #commit: string;
  readonly #api: HubApi;
  readonly #files: ByteSource;
  #sizes: ReadonlyMap<string, HubFile> | null = null;
  #listing: Listing | null = null;
  readonly #failure: SourceError | null;
  readonly #failedAt = performance.now();

  constructor(place: HubPlace, commit: string, api: HubApi, failure: SourceError | null, options: HubOptions) {
    this.label = labelOf(place, commit);
    this.key = place.key;
    this.#place = place;
    this.#commit = commit;
    this.#api = api;
    this.#failure = failure;
    const { fetch, retry, cache } = options;
    const { endpoint, id, headers } = place;
    const sizeOf = (file: string): number | null => this.#sizes?.get(file)?.size ?? null;
    this.#files = httpSource(`${endpoint}/${id}/resolve/${commit}/`, { fetch, retry, cache, headers, sizeOf });
  }

  /** @throws UnsupportedModel */
  async list(signal?: AbortSignal): Promise<ReadonlyMap<string, HubFile>> {
    if (this.#sizes) return this.#sizes;
    if (this.#failure && performance.now() < this.#failedAt + BELIEVED_MS) throw this.#failure;
    const listing = (this.#listing ??= this.#start());
    listing.waiting++;
    try {
      this.#sizes = await orAborted(listing.files, signal);
    } finally {
      // The last one who gives up stops it.
      if (--listing.waiting === 0 && !this.#sizes) {
        listing.stop.abort(signal?.reason);
        this.#listing = null;
      }
    }
    return this.#sizes;
  }

  #start(): Listing {
    const stop = new AbortController();
    const files = this.#api.list(this.#commit, stop.signal).then((found) => {
      checkFormat(this.#place, found);
      return found;
    });
    files.catch(() => undefined); // whoever waits sees it
    return { files, stop, waiting: 0 };
  }

  async size(file: string, signal?: AbortSignal): Promise<number | null> {
    return (await this.list(signal)).get(checkFileName(file))?.size ?? null;
  }

  version(file: string): string | null {
    const oid = this.#sizes?.get(file)?.oid ?? null;
    return oid === null ? null : `oid ${oid}`;
  }

  seeks(file: string): boolean {
    return this.#files.seeks!(file);
  }

  async *stream(file: string, begin: number, end: number, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    try {
      yield* this.#files.stream(file, begin, end, signal);
    } catch (error) {
      const status = error instanceof SourceError ? error.details.status : undefined;
      throw status === 401 || status === 403 ? hubRefusal(this.#place, status, 'GatedRepo', error) : error;
    }
  }
}

interface Listing {
  readonly files: Promise<ReadonlyMap<string, HubFile>>;
  readonly stop: AbortController;
  waiting: number;
}

const OTHER_FORMATS: readonly (readonly [RegExp, string])[] = [
  [/\.(bin|pt|pth|ckpt)$/i, 'PyTorch pickles'],
  [/\.onnx(_data)?$/i, 'ONNX'],
  [/\.(h5|msgpack)$/i, 'TensorFlow or Flax'],
];

/** Names in a message. */
const MOST_NAMED = 12;

function checkFormat({ key, id, revision, file }: HubPlace, files: ReadonlyMap<string, HubFile>): void {
  const names = [...files.keys()];
  const ggufs = names.filter((name) => /\.gguf$/i.test(name));
  if (file !== null && files.has(file)) return;
  if (file !== null || (ggufs.length > 0 && !names.some((name) => /^[^/]+\.safetensors$/.test(name)))) {
    const has = ggufs.length > 0 ? ggufs.slice(0, MOST_NAMED).join(', ') : 'none';
    throw new UnsupportedModel(
      file === null
        ? `${key} has its weights as GGUF, not as safetensors: name one of its files, as in { hub, file } or --file: ${has}`
        : `${key} has no file ${file}; its .gguf files: ${has}`,
      { hub: id, revision, formats: ['GGUF'], files: ggufs.slice(0, MOST_NAMED) },
    );
  }
  if (names.some((name) => /^[^/]+\.safetensors$/.test(name))) return;
  const others = OTHER_FORMATS.filter(([pattern]) => names.some((name) => pattern.test(name))).map(([, what]) => what);
  const has = others.length > 0 ? `has its weights as ${others.join(' and ')}, not as` : 'has no';
  throw new UnsupportedModel(
    `${key} ${has} safetensors: look for the original repository, or one converted to safetensors`,
    {
      hub: id,
      revision,
      formats: others,
    },
  );
}
