// npm test: types, format, lint, then every test; npm run test:fast leaves out the long ones (*.long.test.ts), the browser, and most of long tables.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { ensureChromium, ensurePackages, root, run, runQuietly } from './setup.mjs';

const fast = process.argv.includes('--fast');
ensurePackages();
process.env.CHROMIUM_PATH = ensureChromium();
if (fast) process.env.WEBMOE_FAST = '1';
else {
  process.env.WEBMOE_FUZZ ??= '200000';
  process.env.WEBMOE_SHADERS ??= 'published';
}

let passed = 0;
let failed = 0;
const report = (name, ok, output = '') => {
  if (output) console.log(output.trimEnd());
  console.log(`${ok ? 'passed' : 'FAILED'}: ${name}`);
  if (ok) passed++;
  else failed++;
};
const check = (name, command, args) => report(name, run(command, args) === 0);
/** Beside others: each takes one core. */
const npx = async (name, ...args) => {
  const { status, output } = await runQuietly('npx', ['--no-install', ...args]);
  report(name, status === 0, output);
};

check('shaders gathered', process.execPath, ['scripts/wgsl.mjs']);
// Everyday, files that have not changed are not looked at again; prettier and eslint look at one file at a time.
const INCREMENTAL = ['--incremental', '--tsBuildInfoFile', 'node_modules/.cache/webmoe/types.tsbuildinfo'];
const cache = (tool) => (fast ? ['--cache', '--cache-location', `node_modules/.cache/webmoe/${tool}`] : []);
await Promise.all([
  npx('types', 'tsc', '--noEmit', '-p', 'tsconfig.json', ...(fast ? INCREMENTAL : [])),
  npx('format', 'prettier', '--check', '--log-level', 'warn', ...cache('prettier'), '.').then(() =>
    npx('lint', 'eslint', ...cache('eslint'), '.'),
  ),
]);
if (!fast) check('package', process.execPath, ['scripts/check-package.mjs']);

const folder = mkdtempSync(join(tmpdir(), 'webmoe-test-'));

const count = (file, status) => file.assertionResults.filter((test) => test.status === status).length;
const failuresOf = (file) => (file.status === 'failed' ? Math.max(1, count(file, 'failed')) : 0);
const sum = (files, of) => [...files.values()].reduce((total, file) => total + of(file), 0);

/** @returns vitest's report by file, and whether something went wrong outside all tests */
function vitest(name, files = []) {
  const outputFile = join(folder, `${name}.json`);
  const status = run('npx', [
    '--no-install',
    'vitest',
    'run',
    ...files,
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${outputFile}`,
  ]);
  try {
    const { testResults } = JSON.parse(readFileSync(outputFile, 'utf8'));
    const byName = new Map(testResults.map((file) => [file.name, file]));
    return { files: byName, isBroken: status !== 0 && sum(byName, failuresOf) === 0 };
  } catch {
    return { files: new Map(), isBroken: true };
  }
}

const { files: results, isBroken } = vitest('first');
if (isBroken) failed++;

// On a busy machine a browser can be late. A few files are run once more; what passes then is counted, but named.
const AGAIN = 3;
const wrong = [...results.values()].filter((file) => failuresOf(file) > 0);
if (wrong.length > 0 && wrong.length <= AGAIN) {
  const again = vitest(
    'again',
    wrong.map((file) => relative(root, file.name)),
  );
  for (const file of wrong) {
    const second = again.files.get(file.name);
    if (again.isBroken || !second || failuresOf(second) > 0) continue;
    results.set(file.name, second);
    const names = file.assertionResults.filter((test) => test.status === 'failed').map((test) => test.fullName);
    console.log(
      `passed only when run again, which is a fault to find: ${relative(root, file.name)}: ${names.join('; ')}`,
    );
  }
}
rmSync(folder, { recursive: true });

// Where the time went, for who wants it shorter; files of a worker run one after another, workers beside each other.
const seconds = (file) => (file.endTime - file.startTime) / 1000;
const slowest = [...results.values()].sort((a, b) => seconds(b) - seconds(a)).slice(0, 15);
for (const file of slowest) console.log(`${seconds(file).toFixed(0)} s: ${relative(root, file.name)}`);

passed += sum(results, (file) => count(file, 'passed'));
failed += sum(results, failuresOf);
if (sum(results, (file) => count(file, 'passed')) === 0) failed++; // green on nothing is red
const unrun = sum(results, (file) => file.assertionResults.length - count(file, 'passed') - count(file, 'failed'));
if (unrun > 0) console.log(`${unrun} tests did not run`);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
