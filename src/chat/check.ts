/** Checks of a request's fields. Every refusal names the field, as OpenAI's errors do with `param`. */
import { InvalidRequest } from '../errors.ts';

/** @throws InvalidRequest with `details.field` */
export function refuseField(field: string, message: string, value?: unknown): never {
  throw new InvalidRequest(`${field}: ${message}`, value === undefined ? { field } : { field, value });
}

export const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export function checkObject(value: unknown, field: string): Readonly<Record<string, unknown>> {
  return isObject(value) ? value : refuseField(field, 'must be an object');
}

export function checkText(value: unknown, field: string): string {
  return typeof value === 'string' ? value : refuseField(field, 'must be a string');
}

/** Absent, null and undefined are alike. */
export function checkFlag(value: unknown, field: string): boolean | undefined {
  if (value === undefined || value === null) return undefined;
  return typeof value === 'boolean' ? value : refuseField(field, 'must be true or false', value);
}

export function checkCount(value: unknown, field: string, least: number, most: number): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (Number.isInteger(value) && (value as number) >= least && (value as number) <= most) return value as number;
  const range = most === Infinity ? `of at least ${least}` : `from ${least} to ${most}`;
  return refuseField(field, `must be a whole number ${range}, got ${String(value)}`, value);
}

/** @throws InvalidRequest for a key that is not in `known` and has a value */
export function checkKeys(value: Readonly<Record<string, unknown>>, known: readonly string[], field = ''): void {
  for (const [key, inner] of Object.entries(value)) {
    if (known.includes(key) || inner === undefined || inner === null) continue;
    refuseField(field + key, 'is not supported; leave it out. docs/chat.md lists the fields that are');
  }
}
