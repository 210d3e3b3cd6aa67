/** The page's own files in the browser's cache, one cache for each build. Models are not in it: the engine keeps those. */

export interface ShellFile {
  /** Relative to the page; `./` is the page itself. */
  readonly url: string;
  /** As in a link's `integrity`: a server that is in the middle of an update hands out another file. */
  readonly integrity: string;
}

export interface Shell {
  /** The same for the same files. */
  readonly version: string;
  readonly files: readonly ShellFile[];
}

/** Which caches open tabs use: each holds a lock of its cache's name. */
export type LockNames = () => Promise<readonly (string | undefined)[]>;

const PAGE = './';
/** Where builds put files whose names change with their content. */
const ASSETS = 'assets/';

const nameOf = (scope: string, version: string): string => `webmoe-shell ${scope} ${version}`;

export class ShellCache {
  readonly #scope: string;
  readonly #name: string;
  readonly #caches: CacheStorage;
  readonly #files: readonly ShellFile[];
  readonly #addresses: ReadonlySet<string>;

  /** @param scope the folder that the page is served from, as an address */
  constructor({ version, files }: Shell, scope: string, caches: CacheStorage) {
    this.#scope = scope;
    this.#name = nameOf(scope, version);
    this.#caches = caches;
    this.#files = files;
    this.#addresses = new Set(files.map(({ url }) => this.#address(url)));
  }

  #address(url: string): string {
    return new URL(url, this.#scope).href;
  }

  /** Fetches every file. @throws TypeError when one does not come, or is not of this build: then nothing is kept */
  async fill(): Promise<void> {
    const isNew = !(await this.#caches.has(this.#name));
    const cache = await this.#caches.open(this.#name);
    const requests = this.#files.map(
      ({ url, integrity }) => new Request(this.#address(url), { cache: 'no-cache', integrity }),
    );
    try {
      await cache.addAll(requests);
    } catch (error) {
      if (isNew) await this.#caches.delete(this.#name);
      throw error;
    }
  }

  /** Whether a request is for the page or a part of it: its own address, or null. Whatever is asked in the query, the page is one file. */
  addressOf({ method, mode, url }: Pick<Request, 'method' | 'mode' | 'url'>): string | null {
    if (method !== 'GET' || !url.startsWith(this.#scope)) return null;
    const { origin, pathname } = new URL(url);
    const address = origin + pathname;
    if (mode === 'navigate') {
      const isPage = address === this.#scope || address === this.#address('index.html');
      return isPage ? this.#address(PAGE) : null;
    }
    // A tab of an older build asks for parts that this one does not list.
    return this.#addresses.has(address) || address.startsWith(this.#scope + ASSETS) ? address : null;
  }

  /** Of this build or, where it has no such file, of an older one that a tab still uses. */
  async find(address: string): Promise<Response | undefined> {
    const older = (await this.#names()).filter((name) => name !== this.#name);
    for (const name of [this.#name, ...older]) {
      const found = await (await this.#caches.open(name)).match(address);
      if (found) return found;
    }
    return undefined;
  }

  /** Deletes older builds that no tab uses any more. */
  async tidy(locks: LockNames): Promise<void> {
    const used = new Set(await locks());
    for (const name of await this.#names()) if (name !== this.#name && !used.has(name)) await this.#caches.delete(name);
  }

  async #names(): Promise<string[]> {
    const mine = nameOf(this.#scope, '');
    return (await this.#caches.keys()).filter((name) => name.startsWith(mine));
  }
}
