#!/usr/bin/env node
// The command line. In a clone, where dist/ may be missing or old, it builds first.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const built = join(root, 'dist/cli.js');

const newest = (folder) =>
  Math.max(
    0,
    ...readdirSync(join(root, folder), { recursive: true, withFileTypes: true }).map((e) =>
      e.isFile() ? statSync(join(e.parentPath ?? e.path, e.name)).mtimeMs : 0,
    ),
  );

if (existsSync(join(root, 'src'))) {
  const made = existsSync(built) ? statSync(built).mtimeMs : 0;
  const generated = join(root, 'src/gpu/shaders.gen.ts');
  const sources = Math.max(newest('shaders'), existsSync(generated) ? newest('src') : Infinity);
  if (made < sources) {
    const build = spawnSync('npm', ['run', '--silent', 'build'], {
      cwd: root,
      stdio: ['ignore', 'ignore', 'inherit'],
      shell: process.platform === 'win32',
    });
    if (build.status !== 0) process.exit(build.status ?? 1);
  }
}
const { main } = await import(pathToFileURL(built).href);
process.exitCode = await main(process.argv.slice(2));
