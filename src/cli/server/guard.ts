/** Who may ask: a key, and no page of another site, not even one whose name points here. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { Refused } from './refusal.ts';

export interface GuardOptions {
  /** That the server listens on. */
  readonly host: string;
  /** Clients send it as `Authorization: Bearer`; null: nobody is asked. */
  readonly apiKey: string | null;
  /** Origins of pages that may ask, as browsers send them; `*`: all. */
  readonly origins: readonly string[];
}

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|::1|\[::1\])$/i;
export const isLoopback = (host: string): boolean => LOOPBACK.test(host);

const hostNameOf = (header: string): string => header.replace(/:\d+$/, '');

/** @throws Refused */
export function checkCaller({ headers }: IncomingMessage, options: GuardOptions): void {
  const { host = '' } = headers;
  // A name of somebody's own that resolves to this machine would make a page on it same-origin with this server.
  if (isLoopback(options.host) && !isLoopback(hostNameOf(host)))
    throw new Refused(403, `This server answers as localhost, not as ${JSON.stringify(host.slice(0, 100))}`, {
      type: 'permission_error',
      code: 'wrong-host',
    });
  const { origin } = headers;
  if (origin !== undefined && allowedOrigin(headers, options) === null)
    throw new Refused(
      403,
      `Pages of ${origin.slice(0, 100)} may not ask; start with --cors ${origin.slice(0, 100)} to let them`,
      {
        type: 'permission_error',
        code: 'wrong-origin',
      },
    );
}

/** @throws Refused 401 */
export function checkKey({ headers }: IncomingMessage, { apiKey }: GuardOptions): void {
  if (apiKey === null) return;
  const given = /^Bearer (.+)$/i.exec(headers.authorization ?? '')?.[1] ?? '';
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  if (timingSafeEqual(digest(given), digest(apiKey))) return;
  throw new Refused(401, 'This server wants its API key as "Authorization: Bearer KEY"', {
    type: 'authentication_error',
    code: 'invalid_api_key',
    headers: { 'www-authenticate': 'Bearer' },
  });
}

/** The request's origin where it may ask; null for others, and for none. */
export function allowedOrigin(headers: IncomingMessage['headers'], { origins }: GuardOptions): string | null {
  const { origin, host } = headers;
  if (origin === undefined) return null;
  const isOwn = origin === `http://${host}` || origin === `https://${host}`;
  return isOwn || origins.includes('*') || origins.includes(origin) ? origin : null;
}

export function corsHeaders({ headers }: IncomingMessage, options: GuardOptions): Record<string, string> {
  const origin = allowedOrigin(headers, options);
  if (origin === null) return {};
  return { 'access-control-allow-origin': origin, 'access-control-expose-headers': 'Retry-After', vary: 'Origin' };
}

export function preflightHeaders({ headers }: IncomingMessage): Record<string, string> {
  const wanted = headers['access-control-request-headers'];
  return {
    'access-control-allow-methods': 'GET, POST',
    'access-control-allow-headers': String(wanted ?? 'authorization, content-type'),
    ...(headers['access-control-request-private-network'] ? { 'access-control-allow-private-network': 'true' } : {}),
    'access-control-max-age': '600',
  };
}
