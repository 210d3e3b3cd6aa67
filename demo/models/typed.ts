/** What a visitor types or pastes: a Hub id, the address of its page, or the address of a folder or of a .gguf file. */
import { DEFAULT_ENDPOINT, hubChoice, urlChoice, type Choice, type HubAccess } from './choice.ts';

const ID = /^\w[\w.-]*\/\w[\w.-]*(?:@[\w./+-]+)?$/;
/** Of a model on the Hub: `/org/name`, with `/tree/revision` behind it when not at its main branch. */
const PAGE = /^\/([\w.-]+\/[\w.-]+)(?:\/(?:tree|blob|resolve)\/([\w.+-]+)(?:\/.*)?)?\/?$/;

export const NOT_UNDERSTOOD =
  'This is neither a model’s id, such as allenai/OLMoE-1B-7B-0924-Instruct, nor an address that begins with https://.';

/** @returns a choice, or a sentence that says what is wrong with the text */
export function readTyped(text: string, access: HubAccess): Choice | string {
  const typed = text.trim();
  if (typed === '') return 'Type or paste a model’s id or address first.';
  if (ID.test(typed)) return hubChoice(typed, access);
  if (!/^https?:\/\//i.test(typed)) return NOT_UNDERSTOOD;
  const url = URL.canParse(typed) ? new URL(typed) : null;
  if (!url) return `${typed} is not a whole address.`;
  if (url.username || url.password) return 'The address holds a user name or password: leave that out.';
  if (/\.gguf$/i.test(url.pathname)) return urlChoice(ggufUrl(url, access));
  const page = isHubHost(url, access.endpoint) ? PAGE.exec(url.pathname) : null;
  if (page) return hubChoice(page[2] === undefined ? page[1]! : `${page[1]!}@${page[2]}`, access);
  url.hash = '';
  url.pathname = url.pathname.replace(/\/(config\.json)?$|$/, '/');
  return urlChoice(url.href);
}

/** A file's page on a Hub shows it, its `/resolve/` address is the file. */
function ggufUrl(url: URL, { endpoint }: HubAccess): string {
  if (isHubHost(url, endpoint)) url.pathname = url.pathname.replace('/blob/', '/resolve/');
  return url.origin + url.pathname;
}

const isHubHost = ({ origin }: URL, endpoint: string): boolean =>
  origin === new URL(endpoint).origin && (endpoint === DEFAULT_ENDPOINT || new URL(endpoint).pathname === '/');
