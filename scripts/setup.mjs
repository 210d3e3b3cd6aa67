// What `npm start` and `npm test` need on a fresh machine: the packages of the lockfile, and (for tests) a Chromium.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..');

export function run(command, args, options = {}) {
  const done = spawnSync(command, args, {
    cwd: root,
    stdio: 'inherit',
    shell: process.platform === 'win32',
    ...options,
  });
  return done.status ?? 1;
}

/** Beside other commands: its output comes when it has ended. */
export function runQuietly(command, args) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, shell: process.platform === 'win32' });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (output += data));
    child.on('error', (error) => resolve({ status: 1, output: String(error) }));
    child.on('close', (status) => resolve({ status: status ?? 1, output }));
  });
}

export function mustRun(command, args, what, options = {}) {
  if (run(command, args, options) !== 0) {
    console.error(`${what} failed: ${command} ${args.join(' ')}`);
    process.exit(1);
  }
}

/** Installs the lockfile's packages when there are none, or when the lockfile is newer. No package runs a script of its own. */
export function ensurePackages() {
  const stamp = join(root, 'node_modules/.package-lock.json');
  const lock = join(root, 'package-lock.json');
  if (existsSync(stamp) && statSync(stamp).mtimeMs >= statSync(lock).mtimeMs) return;
  console.error('Installing packages...');
  const quietOutput = { stdio: ['ignore', 'ignore', 'inherit'] }; // standard output may be a command's answer
  mustRun('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], 'Installing packages', quietOutput);
}

const CANDIDATES = [
  process.env.CHROMIUM_PATH,
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
  'C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe',
].filter(Boolean);

const findChromium = () => CANDIDATES.find((path) => existsSync(path));

/** The path of a Chromium; installs Debian's package where there is none. */
export function ensureChromium() {
  const found = findChromium();
  if (found) return found;
  const sudo = process.getuid?.() === 0 ? [] : ['sudo'];
  const apt = (...args) => {
    const [command, ...rest] = [...sudo, 'apt-get', ...args];
    return run(command, rest, { env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } });
  };
  console.log('Installing Chromium...');
  if (existsSync('/usr/bin/apt-get') && apt('update', '-qq') === 0 && apt('install', '-y', '-qq', 'chromium') === 0) {
    const installed = findChromium();
    if (installed) return installed;
  }
  console.error(
    'No Chromium was found and none could be installed: install one, or set CHROMIUM_PATH to its executable.',
  );
  return process.exit(1);
}
