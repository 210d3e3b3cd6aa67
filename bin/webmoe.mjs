#!/usr/bin/env node
// The command line. In a clone, where packages and dist/ may be missing or old, it installs and builds first: quietly, and once, however many commands start together.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const built = join(root, 'dist/cli.js');
const lock = join(root, 'node_modules/.webmoe-build');
/** A build takes seconds: an older lock was left behind by one that was killed. */
const STALE_MS = 120_000;

const newest = (folder) =>
  Math.max(
    0,
    ...readdirSync(join(root, folder), { recursive: true, withFileTypes: true }).map((e) =>
      e.isFile() ? statSync(join(e.parentPath ?? e.path, e.name)).mtimeMs : 0,
    ),
  );

function isFresh() {
  const generated = join(root, 'src/gpu/shaders.gen.ts');
  if (!existsSync(built) || !existsSync(generated)) return false;
  return statSync(built).mtimeMs >= Math.max(newest('shaders'), newest('src'));
}

const ageOf = (path) => {
  const found = statSync(path, { throwIfNoEntry: false });
  return found ? Date.now() - found.mtimeMs : null;
};

function release() {
  try {
    rmdirSync(lock);
  } catch {
    // Another command found it stale.
  }
}

/** False when another process holds it. */
function acquire() {
  try {
    mkdirSync(lock);
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
    if (ageOf(lock) > STALE_MS) release();
    return false;
  }
}

function build() {
  const done = spawnSync('npm', ['run', '--silent', 'build'], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    shell: process.platform === 'win32',
  });
  if (done.status === 0) return;
  process.stderr.write(
    `${done.stdout ?? ''}${done.stderr ?? ''}webmoe: building it failed; run npm ci and try again\n`,
  );
  release();
  process.exit(done.status ?? 1);
}

if (existsSync(join(root, 'src'))) {
  const { ensurePackages } = await import(pathToFileURL(join(root, 'scripts/setup.mjs')).href);
  ensurePackages();
  while (ageOf(lock) !== null || !isFresh()) {
    if (!acquire()) {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
      continue;
    }
    if (!isFresh()) build();
    release();
    break;
  }
}
const { main } = await import(pathToFileURL(built).href);
process.exitCode = await main(process.argv.slice(2));
