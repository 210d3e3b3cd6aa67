/** The recorded sessions that come with the page; each is fetched when it is asked for. */
import type { Recording } from './recording.ts';
import sessions from './sessions.json';

export interface Session {
  readonly id: string;
  readonly title: string;
  readonly domain: string;
  readonly load: () => Promise<Recording>;
}

const FILES: Readonly<Record<string, () => Promise<{ readonly default: unknown }>>> = {
  everyday: () => import('./everyday.json'),
  science: () => import('./science.json'),
  code: () => import('./code.json'),
  poem: () => import('./poem.json'),
};

export const SESSIONS: readonly Session[] = sessions.map(({ id, title, domain }) => ({
  id,
  title,
  domain,
  load: async () => (await FILES[id]!()).default as Recording,
}));
