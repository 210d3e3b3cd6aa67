// Writes docs/models.md from what the tests list: node scripts/models-table.mjs
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import { fromSource, root } from '../bench/modules.mjs';

process.chdir(root);
const { modelsPage } = await fromSource('models-table', ['../test/support/models-table.ts']);
const path = join(root, 'docs/models.md');
writeFileSync(path, await format(modelsPage(), { ...(await resolveConfig(path)), filepath: path }));
