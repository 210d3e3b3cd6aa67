/** examples/train-router as its reader runs it, on what is built. */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { readTrace } from '../../src/trace/npz.ts';
import { program } from '../support/cli.ts';

const folder = mkdtempSync(join(tmpdir(), 'webmoe-train-'));
afterAll(() => rmSync(folder, { recursive: true }));
cpSync('examples/train-router', folder, { recursive: true });
mkdirSync(join(folder, 'node_modules'));
symlinkSync(resolve('.'), join(folder, 'node_modules/webmoe'));
symlinkSync(resolve('node_modules/webgpu'), join(folder, 'node_modules/webgpu'));

const number = (pattern: RegExp, text: string): number => Number(pattern.exec(text)?.[1]);

it('experts become better than the dense network they were, and tell the rules of their tokens apart', async () => {
  expect(await program('node', ['bin/webmoe.mjs', '--help'])).toMatchObject({ code: 0 }); // builds when it must
  const { code, out, err } = await program('node', ['main.js', '60'], { cwd: folder });
  expect([code, err]).toEqual([0, '']);
  const [dense, experts] = [number(/^dense ([\d.]+),/m, out), number(/, experts ([\d.]+)$/m, out)];
  expect(experts).toBeLessThan(0.7 * dense);
  const bits = (name: string): number => number(new RegExp(`^${name}.npz: an expert tells ([\\d.]+) of 2`, 'm'), out);
  expect(bits('after')).toBeGreaterThan(bits('before') + 0.3);
  const trace = readTrace(readFileSync(join(folder, 'after.npz')));
  expect(trace.model).toMatchObject({ layers: 2, experts: 8, topK: 2 });
  expect(trace.chats?.map((chat) => chat.domain)).toEqual(['negate', 'reverse', 'swap', 'shift']);
  // Layers of 4 and of 8 experts.
  const ids = (layer: number): number[] => [...trace.ids].filter((_, i) => Math.floor(i / 2) % 2 === layer);
  expect(Math.max(...ids(0))).toBeLessThan(4);
  expect(Math.max(...ids(1))).toBeGreaterThan(3);
});
