// npm test: types, format, lint, then every test; npm run test:fast leaves out the long ones (*.long.test.ts), the browser, and most of long tables.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureChromium, ensurePackages, run, runQuietly } from './setup.mjs';

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
const results = join(folder, 'results.json');
const status = run('npx', [
  '--no-install',
  'vitest',
  'run',
  '--reporter=default',
  '--reporter=json',
  `--outputFile.json=${results}`,
]);
try {
  const { numPassedTests, numFailedTests, numPendingTests, testResults } = JSON.parse(readFileSync(results, 'utf8'));
  passed += numPassedTests;
  failed +=
    numFailedTests +
    testResults.filter((file) => file.status === 'failed' && file.assertionResults.length === 0).length;
  if (numPassedTests === 0) failed++; // green on nothing is red
  if (numPendingTests > 0) console.log(`${numPendingTests} tests did not run`);
} catch {
  failed++;
}
rmSync(folder, { recursive: true });
if (status !== 0 && failed === 0) failed++;
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
