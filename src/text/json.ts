/** JSON that came from a stranger: parsed within limits, looked at through narrow helpers. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** An own property, so that a key such as `constructor` or `__proto__` reads as what the file says. */
export const field = (object: JsonObject, key: string): Json | undefined =>
  Object.hasOwn(object, key) ? object[key] : undefined;

export interface JsonLimits {
  readonly chars: number;
  readonly depth: number;
  /** Arrays and objects in all. */
  readonly containers: number;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** Nesting and container count in one pass, because JSON.parse has no limits and a million brackets cost it gigabytes. */
function shapeFault(text: string, limits: JsonLimits): string | null {
  if (text.length > limits.chars) return `is longer than ${limits.chars} characters`;
  let depth = 0;
  let containers = 0;
  let inString = false;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (inString) {
      if (c === BACKSLASH) i++;
      else if (c === QUOTE) inString = false;
    } else if (c === QUOTE) inString = true;
    else if (c === 0x7b || c === 0x5b) {
      if (++depth > limits.depth) return `is nested deeper than ${limits.depth}`;
      if (++containers > limits.containers) return `has more than ${limits.containers} lists and objects`;
    } else if (c === 0x7d || c === 0x5d) depth--;
  }
  return null;
}

/** @param refuse called with the reason in words; must throw */
export function parseJson(text: string, limits: JsonLimits, refuse: (reason: string) => never): Json {
  const fault = shapeFault(text, limits);
  if (fault) refuse(fault);
  try {
    return JSON.parse(text) as Json;
  } catch (error) {
    return refuse(`is not JSON (${error instanceof Error ? error.message.slice(0, 120) : 'unreadable'})`);
  }
}
