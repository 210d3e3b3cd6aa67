import { readFileSync } from 'node:fs';
import { format, resolveConfig } from 'prettier';
import { expect, it } from 'vitest';
import { readModelConfig } from '../../../src/config/load.ts';
import { FAMILIES } from '../../../src/families/index.ts';
import { asVersion5, configOf, FAMILIES_WITHOUT_GOLDEN, hasVersion4 } from '../../support/configs.ts';
import { modelsPage } from '../../support/models-table.ts';

it('docs/models.md is what the tests list: else run node scripts/models-table.mjs', async () => {
  const path = 'docs/models.md';
  const page = readFileSync(path, 'utf8');
  expect(page).toBe(await format(modelsPage(), { ...(await resolveConfig(path)), filepath: path }));
  for (const { id } of FAMILIES) expect(new RegExp(`^\\| ${id} .*(families/|doubles)`, 'm').test(page), id).toBe(true);
});

it.each(FAMILIES_WITHOUT_GOLDEN.filter(hasVersion4))('%s: the form of transformers 5 says the same', (family) => {
  const { config } = readModelConfig(JSON.stringify(configOf(family)));
  expect(readModelConfig(JSON.stringify(asVersion5(configOf(family)))).config).toEqual(config);
});
