/** Names of files come from index files, which anyone may write: only plain relative names inside the model's folder pass. */
import { InvalidCheckpoint } from '../errors.ts';
import { MAX_FILE_NAME } from './safetensors/limits.ts';

const SEGMENT = /^[A-Za-z0-9._-]+$/;
const ONLY_DOTS = /^\.+$/;

/**
 * Letters, digits, `.`, `_`, `-` and single slashes; no segment of dots only.
 * @returns the name
 * @throws InvalidCheckpoint `path`
 */
export function checkFileName(name: string): string {
  const fits = name.length <= MAX_FILE_NAME && name.split('/').every((s) => SEGMENT.test(s) && !ONLY_DOTS.test(s));
  if (!fits) {
    const shown = JSON.stringify(name.slice(0, 100));
    throw new InvalidCheckpoint(
      'path',
      `${shown} is not a name of a file in the model's folder (letters, digits, ".", "_", "-", "/")`,
      {
        file: name.slice(0, 100),
      },
    );
  }
  return name;
}

/**
 * The URL of a file below `base`, which ends in a slash. Checked again after resolution: URL parsing has its own ideas of `..`.
 * @throws InvalidCheckpoint `path`
 */
export function resolveFile(base: URL, name: string): URL {
  const url = new URL(checkFileName(name), base);
  if (url.href !== base.href + name) {
    throw new InvalidCheckpoint('path', `${JSON.stringify(name)} leads outside of ${base.href}`, {
      file: name,
      url: url.href,
    });
  }
  return url;
}
