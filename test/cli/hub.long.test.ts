/** A model on a Hub from the command line: kept, run without the Hub, and no token left anywhere. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { diskStorage, openNodeSource } from '../../src/node.ts';
import { cli } from '../support/cli.ts';
import { fakeHub, type FakeHub } from '../support/fake-hub.ts';
import { withLetters } from '../support/letters.ts';
import { filesOf, fixturePath, type Files } from '../support/models.ts';

const TOKEN = 'hf_tellNobody123';
const ID = 'org/tiny-moe';
const olmoe = filesOf(fixturePath('families/olmoe'));
const model: Files = withLetters(
  Object.fromEntries(Object.entries(olmoe).filter(([name]) => !name.startsWith('golden'))),
);
const folder = mkdtempSync(join(tmpdir(), 'webmoe-hub-'));
const printed: string[] = [];
let hub: FakeHub;

beforeAll(async () => {
  process.env.HF_TOKEN = TOKEN;
  hub = await fakeHub({ token: TOKEN });
  hub.commit(ID, model);
  hub.repositories[ID]!.gated = true;
});
afterAll(async () => {
  delete process.env.HF_TOKEN;
  await hub.close();
  rmSync(folder, { recursive: true });
});

async function command(...argv: string[]): Promise<string> {
  hub.reset();
  const { code, out, err } = await cli([...argv, '--endpoint', hub.url]);
  printed.push(out, err);
  expect(code, err).toBe(0);
  return out;
}

const allFiles = (path: string): string[] =>
  readdirSync(path).flatMap((name) => {
    const at = join(path, name);
    return statSync(at).isDirectory() ? allFiles(at) : [at];
  });

it('is packed, and runs without the Hub', async () => {
  expect(await command('pack', ID, '--out', folder)).toMatch(/^(\S+ MB) of \1 in /);
  expect(hub.content.requests.length).toBeGreaterThan(0);
  hub.front.plan = () => ({ status: 503 });
  const ask = ['--prompt', 'abcdefgh', '--temperature', '2', '--seed', '7', '--max-tokens', '4'];
  expect(await command('run', '--model', ID, ...ask, '--cache', folder)).toMatch(/^[a-p]{4,8}\n$/);
  expect(printed.join('')).toMatch(/used as it was kept, because its source does not answer/);
}, 180_000);

it('tells what is kept, checks it and deletes it', async () => {
  const { models } = diskStorage(folder);
  const [found, ...others] = await models.list();
  expect(others).toEqual([]);
  expect(found).toMatchObject({ source: `${hub.url}/${ID}`, inUse: false });
  expect(await models.verify(found!.id)).toMatchObject({ damaged: 0 });
  await expect(models.delete('0123456789abcdef-0123456789abcdef')).rejects.toThrow(/No stored model is called/);
  for (const path of allFiles(folder)) expect(readFileSync(path).includes(TOKEN), path).toBe(false);
  expect(printed.join('')).not.toContain(TOKEN);
  await models.delete(found!.id);
  expect(await models.list()).toEqual([]);
});

it('a mistyped folder is said to be neither', async () => {
  const { code, err } = await cli(['inspect', 'modles/tiny', '--endpoint', hub.url]);
  expect([code, err.split('\n').length]).toEqual([2, 2]);
  expect(err).not.toContain(TOKEN);
  const fetch = (): Promise<Response> =>
    Promise.resolve(new Response('', { status: 401, headers: { 'x-error-code': 'RepoNotFound' } }));
  await expect(openNodeSource('modles/tiny', { fetch })).rejects.toThrow(/There is no folder modles\/tiny here either/);
});
