/** What a visitor of the page waits for, beside the engine. */
import { expect, it } from 'vitest';
import { pageSizes, SHELL_BUDGET, shellBytes } from '../../../scripts/page-size.mjs';

it('the page’s shell stays within 60 kB gzipped; colours and formulas are loaded later', async () => {
  const files = await pageSizes();
  const named = (pattern: RegExp) => files.filter(({ name }) => pattern.test(name));
  expect(shellBytes(files)).toBeLessThanOrEqual(SHELL_BUDGET);
  expect(shellBytes(files)).toBeGreaterThan(20_000);
  expect(named(/highlight|typeset/).map(({ isShell }) => isShell)).toEqual([false, false]);
  const shell = files.filter(({ isShell }) => isShell).map(({ name }) => name);
  expect(shell).toEqual(expect.arrayContaining(['assets/index.js', 'index.html']));
  expect(shell.filter((name) => name.endsWith('.css'))).toHaveLength(1);
  expect(shell).not.toContain('visualiser/index.html');
});

it('so does that of the routing page; each view is loaded later', async () => {
  const files = await pageSizes('visualiser/index.html');
  const shell = files.filter(({ isShell }) => isShell).map(({ name }) => name);
  expect(shellBytes(files)).toBeLessThanOrEqual(SHELL_BUDGET);
  expect(shell).toEqual(expect.arrayContaining(['assets/index.js', 'assets/index.css', 'visualiser/index.html']));
  expect(shell.filter((name) => /heatmap|history|policies|interventions/.test(name))).toEqual([]);
});
