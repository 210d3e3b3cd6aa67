/** What a visitor of the page waits for, beside the engine. */
import { expect, it } from 'vitest';
import { pageSizes, SHELL_BUDGET, shellBytes } from '../../../scripts/page-size.mjs';

it('the page’s shell stays within 60 kB gzipped; colours and formulas are loaded later', async () => {
  const files = await pageSizes();
  const named = (pattern: RegExp) => files.filter(({ name }) => pattern.test(name));
  expect(shellBytes(files)).toBeLessThanOrEqual(SHELL_BUDGET);
  expect(shellBytes(files)).toBeGreaterThan(20_000);
  expect(named(/highlight|typeset/).map(({ isShell }) => isShell)).toEqual([false, false]);
  expect(named(/index\.(js|css|html)/).map(({ isShell }) => isShell)).toEqual([true, true, true]);
});
