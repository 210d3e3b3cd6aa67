// npm test: types, format, lint, then every test; npm run test:fast leaves out the long ones (*.long.test.ts) and the browser.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureChromium, ensurePackages, run } from './setup.mjs';

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
const check = (name, command, args) => {
  const ok = run(command, args) === 0;
  console.log(`${ok ? 'passed' : 'FAILED'}: ${name}`);
  if (ok) passed++;
  else failed++;
};
const npx = (name, ...args) => check(name, 'npx', ['--no-install', ...args]);

check('shaders gathered', process.execPath, ['scripts/wgsl.mjs']);
npx('types', 'tsc', '--noEmit', '-p', 'tsconfig.json');
npx('format', 'prettier', '--check', '--log-level', 'warn', '.');
npx('lint', 'eslint', '.');
if (!fast) check('package', process.execPath, ['scripts/check-package.mjs']);

const folder = mkdtempSync(join(tmpdir(), 'webmoe-test-'));
const report = join(folder, 'report.json');
const status = run('npx', [
  '--no-install',
  'vitest',
  'run',
  '--reporter=default',
  '--reporter=json',
  `--outputFile.json=${report}`,
]);
try {
  const { numPassedTests, numFailedTests, numPendingTests, testResults } = JSON.parse(readFileSync(report, 'utf8'));
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
