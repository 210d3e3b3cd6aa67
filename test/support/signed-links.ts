/** A Hub in small: one server answers every request with a redirect to a signed link on another, which honours it for a while. */
import { redirectTo } from './fault.ts';
import type { FaultServer } from './fault-server.ts';

export interface LinkLife {
  /** Requests that a link is good for. */
  readonly uses?: number;
  readonly ms?: number;
}

export interface SignedLinks {
  issued: number;
  /** Requests with a link that had expired; they got 403. */
  refused: number;
  /** Ends the life of all links issued so far. */
  expire(): void;
}

/** Takes over the plans of both; what the content server planned before still happens to links that are good. */
export function signLinks(front: FaultServer, content: FaultServer, life: LinkLife = {}): SignedLinks {
  const { uses = Infinity, ms = Infinity } = life;
  const links = new Map<string, { left: number; readonly until: number }>();
  const serve = content.plan;
  const out: SignedLinks = { issued: 0, refused: 0, expire: () => links.clear() };
  front.plan = ({ path }) => {
    const key = String(out.issued++);
    links.set(key, { left: uses, until: performance.now() + ms });
    return redirectTo(`${content.url}${path}?signature=${key}`);
  };
  content.plan = (request, n) => {
    const link = links.get(request.query.get('signature') ?? '');
    if (link && link.left-- > 0 && performance.now() <= link.until) return serve(request, n);
    out.refused++;
    return { status: 403 };
  };
  return out;
}
