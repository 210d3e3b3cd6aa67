/** JSON from a stranger: bounded in size and depth before anything is built from it. */
import { InvalidCheckpoint, type CheckpointFault } from '../errors.ts';
import type { Json } from './read.ts';

/** Published config.json files are a few KiB; the largest (per-layer quantisation lists) stay under 1 MiB. */
export const MAX_JSON_LENGTH = 10 * 2 ** 20;
export const MAX_JSON_DEPTH = 64;

/** Every character that is not part of a string. */
function outsideStrings(text: string, see: (c: string, at: number) => void): void {
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!;
    if (quoted) {
      if (c === '\\') i++;
      else if (c === '"') quoted = false;
    } else if (c === '"') quoted = true;
    else see(c, i);
  }
}

/** Deepest nesting of brackets outside strings. Counts only: whether they match is for JSON.parse to say. */
function nesting(text: string): number {
  let depth = 0;
  let deepest = 0;
  outsideStrings(text, (c) => {
    if (c === '{' || c === '[') deepest = Math.max(deepest, ++depth);
    else if (c === '}' || c === ']') depth--;
  });
  return deepest;
}

const INFINITY = 'Infinity';

/** Python writes infinite numbers as a bare word (`time_step_limit` of Mamba); 1e999 is the same number in JSON. */
function withoutInfinity(text: string): string {
  if (!text.includes(INFINITY)) return text;
  let out = '';
  let from = 0;
  outsideStrings(text, (c, at) => {
    if (c !== 'I' || !text.startsWith(INFINITY, at)) return;
    out += `${text.slice(from, at)}1e999`;
    from = at + INFINITY.length;
  });
  return out + text.slice(from);
}

/** @throws InvalidCheckpoint (`fault`, by default 'config') naming `path` when the text is too long, too deep, or not JSON */
export function parseJson(text: string, path: string, fault: CheckpointFault = 'config'): Json {
  if (text.length > MAX_JSON_LENGTH) {
    throw new InvalidCheckpoint(
      fault,
      `${path} has ${text.length} characters; at most ${MAX_JSON_LENGTH} are read: is it the right file?`,
      { path, length: text.length },
    );
  }
  const depth = nesting(text);
  if (depth > MAX_JSON_DEPTH) {
    throw new InvalidCheckpoint(fault, `${path} is nested ${depth} deep; at most ${MAX_JSON_DEPTH} is read`, {
      path,
      depth,
    });
  }
  try {
    return JSON.parse(withoutInfinity(text)) as Json;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new InvalidCheckpoint(fault, `${path} is not JSON: ${reason}`, { path }, { cause });
  }
}
