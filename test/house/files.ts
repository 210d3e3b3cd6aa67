/** What the house tests look at. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../..');

export interface TextFile {
  /** From the top of the repository, with forward slashes. */
  readonly path: string;
  readonly text: string;
}

export const exists = (path: string): boolean => existsSync(join(root, path));

export const readText = (path: string): string => readFileSync(join(root, path), 'utf8');

/** Files under `folder` whose name ends in `suffix`, generated ones left out; none when there is no such folder. */
export function filesUnder(folder: string, suffix: string): TextFile[] {
  if (!exists(folder)) return [];
  return readdirSync(join(root, folder), { recursive: true })
    .map((name) => `${folder}/${String(name).replaceAll('\\', '/')}`)
    .filter((path) => path.endsWith(suffix) && !path.includes('.gen.') && !/\/(dist|node_modules)\//.test(path))
    .sort()
    .map((path) => ({ path, text: readText(path) }));
}

/** Every text file that git tracks. */
export function trackedText(): TextFile[] {
  return execFileSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8', maxBuffer: 2 ** 26 })
    .split('\0')
    .filter((path) => path && exists(path))
    .map((path) => ({ path, bytes: readFileSync(join(root, path)) }))
    .filter(({ bytes }) => !bytes.subarray(0, 8192).includes(0))
    .map(({ path, bytes }) => ({ path, text: bytes.toString('utf8') }));
}

/** Comments become spaces; strings stay. Good enough for code without comment marks in its strings, which `://` is let pass for. */
export const withoutComments = (code: string): string =>
  code.replace(/\/\*[\s\S]*?\*\//g, ' ').replace(/(^|[^:'"`\\])\/\/.*$/gm, '$1');
