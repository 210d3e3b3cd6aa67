/** examples/trace-to-python as its reader runs it, on what is built. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { readTrace } from '../../src/trace/npz.ts';
import { traceOf } from '../../src/trace/of-run.ts';
import { fromVllm } from '../../src/trace/vllm.ts';
import { program } from '../support/cli.ts';
import { withLetters } from '../support/letters.ts';
import { filesOf } from '../support/models.ts';

const folder = mkdtempSync(join(tmpdir(), 'webmoe-example-'));
afterAll(() => rmSync(folder, { recursive: true }));
for (const [name, bytes] of Object.entries(withLetters(filesOf('test/fixtures/families/olmoe'))))
  writeFileSync(join(folder, name), bytes);

it('records with webmoe/node and webmoe/trace; file and JSON tell the same', async () => {
  expect(await program('node', ['bin/webmoe.mjs', '--help'])).toMatchObject({ code: 0 }); // builds when it must
  const script = resolve('examples/trace-to-python/record.mjs');
  const { code, out, err } = await program('node', [script, folder, 'abcdefgh'], { cwd: folder });
  expect([code, err]).toEqual([0, '']);
  expect(out).toMatch(/^run\.npz, run\.json: 16 steps; LRU with 16 slots hits \d+\.\d %\n$/);
  const trace = readTrace(readFileSync(join(folder, 'run.npz')));
  const run = fromVllm(JSON.parse(readFileSync(join(folder, 'run.json'), 'utf8')), 16);
  const again = traceOf(run, trace.model);
  expect(again.steps).toEqual(trace.steps);
  expect(again.ids).toEqual(trace.ids);
});
