/** A Hub in small: revisions that move, lists in pages, gated and private repositories, large files behind signed links on another server. */
import { createHash } from 'node:crypto';
import type { Misbehaviour } from './fault.ts';
import { faultServer, type FaultServer, type Request } from './fault-server.ts';
import type { Files } from './models.ts';
import { signLinks, type LinkLife, type SignedLinks } from './signed-links.ts';

export interface FakeRepository {
  /** Commits by branch or tag. */
  readonly revisions: Record<string, string>;
  readonly commits: Record<string, Files>;
  /** Listed for all, read with the token only. */
  gated?: boolean;
  /** Nobody without the token learns that it exists. */
  private?: boolean;
}

export interface FakeHub {
  readonly url: string;
  readonly front: FaultServer;
  /** Where large files lie. */
  readonly content: FaultServer;
  readonly links: SignedLinks;
  readonly repositories: Record<string, FakeRepository>;
  /** Makes `files` the newest commit of a branch. @returns the commit */
  commit(id: string, files: Files, branch?: string): string;
  /** Paths of requests so far, preflights left out, such as `api/models/o/m/revision/main`. */
  paths(): string[];
  reset(): void;
  close(): Promise<void>;
}

export interface FakeHubOptions {
  /** Opens what is gated or private. */
  readonly token?: string;
  /** Files a page of a list. */
  readonly pageSize?: number;
  readonly life?: LinkLife;
  /** Answers the request in the Hub's place. */
  readonly fault?: (request: Request) => Misbehaviour | null;
}

/** What the real Hub shows to pages of other origins. */
const EXPOSED = {
  'access-control-expose-headers':
    'X-Repo-Commit,X-Request-Id,X-Error-Code,X-Error-Message,X-Total-Count,ETag,Link,Accept-Ranges,Content-Range',
};

const hash = (kind: 'sha1' | 'sha256', bytes: Uint8Array | string): string =>
  createHash(kind).update(bytes).digest('hex');
const isLarge = (name: string): boolean => name.endsWith('.safetensors');

const json = (value: unknown, headers: Record<string, string> = {}): Misbehaviour => ({
  status: 200,
  headers: { 'content-type': 'application/json', ...EXPOSED, ...headers },
  body: JSON.stringify(value),
});
const refuse = (status: number, code: string): Misbehaviour => ({
  status,
  headers: { 'x-error-code': code, ...EXPOSED },
  body: code,
});

export async function fakeHub(options: FakeHubOptions = {}): Promise<FakeHub> {
  const front = await faultServer({}, { cors: 'exposed', etags: true });
  const content = await faultServer({}, { cors: 'exposed', etags: true });
  const links = signLinks(front, content, options.life);
  const toContent = front.plan;
  const repositories: Record<string, FakeRepository> = {};
  const { token, pageSize = 1000, fault = () => null } = options;

  const isTrusted = ({ headers }: Request): boolean => headers.authorization === `Bearer ${token}`;

  const list = (request: Request, { commits }: FakeRepository, revision: string): Misbehaviour => {
    const files = Object.entries(commits[revision] ?? {});
    const from = Number(request.query.get('cursor') ?? 0);
    const page = files.slice(from, from + pageSize).map(([path, bytes]) => ({
      type: 'file',
      path,
      size: bytes.length,
      oid: hash('sha1', bytes),
      ...(isLarge(path) ? { lfs: { oid: hash('sha256', bytes), size: bytes.length, pointerSize: 134 } } : {}),
    }));
    const next = `<${front.url}${request.path}?recursive=true&cursor=${from + pageSize}>; rel="next"`;
    return json([{ type: 'directory', path: 'folder', size: 0, oid: '0' }, ...page], {
      ...(from + pageSize < files.length ? { link: next } : {}),
    });
  };

  const answer = (request: Request, n: number): Misbehaviour | 'serve' => {
    const wrong = fault(request);
    if (wrong) return wrong;
    const found = /^(?:api\/models\/)?([\w.-]+\/[\w.-]+)\/(revision|tree|resolve)\/([^/]+)(?:\/(.+))?$/.exec(
      request.path,
    );
    if (!found) return { status: 404 };
    const [, id, what, rest, file] = found as unknown as [string, string, string, string, string | undefined];
    const repository = repositories[id];
    if (!repository || (repository.private && !isTrusted(request)))
      return refuse(isTrusted(request) ? 404 : 401, 'RepoNotFound');
    const revision = decodeURIComponent(rest);
    const commit = repository.revisions[revision] ?? (repository.commits[revision] ? revision : undefined);
    if (commit === undefined) return refuse(404, 'RevisionNotFound');
    if (what === 'revision') return json({ id, sha: commit, gated: repository.gated ? 'auto' : false });
    if (what === 'tree') return list(request, repository, commit);
    if (repository.gated && !isTrusted(request)) return refuse(request.headers.authorization ? 403 : 401, 'GatedRepo');
    if (!repository.commits[commit]![file!]) return refuse(404, 'EntryNotFound');
    return isLarge(file!) ? (toContent(request, n) as Misbehaviour) : 'serve';
  };
  front.plan = answer;

  const hub: FakeHub = {
    url: front.url.slice(0, -1),
    front,
    content,
    links,
    repositories,
    commit(id, files, branch = 'main') {
      const repository = (repositories[id] ??= { revisions: {}, commits: {} });
      const sha = hash('sha1', `${id} ${branch} ${Object.keys(repository.commits).length}`);
      repository.commits[sha] = { ...files };
      repository.revisions[branch] = sha;
      for (const [name, bytes] of Object.entries(files))
        (isLarge(name) ? content : front).files[`${id}/resolve/${sha}/${name}`] = bytes;
      return sha;
    },
    paths: () => front.requests.filter((r) => r.method !== 'OPTIONS').map((r) => r.path),
    reset() {
      front.requests.length = content.requests.length = 0;
    },
    async close() {
      await Promise.all([front.close(), content.close()]);
    },
  };
  return hub;
}
