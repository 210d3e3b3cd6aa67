/** A link that holds a prompt, a system prompt and settings in its fragment, which browsers never send to a server. */
import { ReadError, Reader } from '../conversations/read.ts';
import type { Settings } from '../conversations/types.ts';
import { readSettings } from '../settings/fields.ts';

export interface Shared {
  readonly prompt: string;
  readonly system: string;
  readonly settings: Settings;
}

const KEY = 'ask=';
const VERSION = 1;
/** Of the fragment, in characters: longer links break in mail and chat programs. */
export const LONGEST_LINK = 16_384;

const toBase64Url = (bytes: Uint8Array): string => {
  let binary = '';
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
};

const fromBase64Url = (text: string): Uint8Array =>
  Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0));

/**
 * @returns the fragment, from `#` on
 * @throws ReadError when it would be longer than LONGEST_LINK
 */
export function toFragment({ prompt, system, settings }: Shared): string {
  const json = JSON.stringify({ v: VERSION, prompt, ...(system && { system }), settings });
  const fragment = `#${KEY}${toBase64Url(new TextEncoder().encode(json))}`;
  if (fragment.length > LONGEST_LINK) throw new ReadError('What a link holds', 'shorter: this is too long for a link');
  return fragment;
}

function decode(text: string): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(fromBase64Url(text)));
  } catch {
    throw new ReadError('What the link holds', 'as it was made: it was cut or changed on its way');
  }
}

/**
 * @param fragment `location.hash`
 * @returns null when it is no such link
 * @throws ReadError when it is one that is damaged
 */
export function fromFragment(fragment: string): Shared | null {
  const text = fragment.replace(/^#/, '');
  if (!text.startsWith(KEY)) return null;
  if (fragment.length > LONGEST_LINK) throw new ReadError('The link', `at most ${LONGEST_LINK} characters long`);
  const at = new Reader(decode(text.slice(KEY.length)), 'The link').object('v', 'prompt', 'system', 'settings');
  if (at('v').value !== VERSION) at('v').fail(`${VERSION}: a newer webmoe made this link`);
  const prompt = at('prompt').string();
  if (!prompt.trim()) at('prompt').fail('a question');
  return {
    prompt,
    system: at('system').value === undefined ? '' : at('system').string(),
    settings: readSettings(at('settings')),
  };
}
