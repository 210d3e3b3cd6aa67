/** A gated model on a Hub in Chromium: across origins, through signed links, kept, and started again offline; the token in one header only. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openSite, type OpenedPage, type Site } from '../support/browser.ts';
import { fakeHub, type FakeHub } from '../support/fake-hub.ts';
import { filesOf, fixturePath, text } from '../support/models.ts';
import type { HubModel } from '../../src/weights/hub/hub-model.ts';

const TOKEN = 'hf_tellNobody123';
const ID = 'org/tiny-moe';
const fixture = Object.entries(filesOf(fixturePath('families/olmoe'))).filter(([name]) => !name.startsWith('golden'));

let site: Site;
let hub: FakeHub;
let opened: OpenedPage;
beforeAll(async () => {
  site = await openSite('hub.html');
  hub = await fakeHub({ token: TOKEN, pageSize: 2 });
  hub.commit(ID, Object.fromEntries(fixture));
  hub.repositories[ID]!.gated = true;
  hub.commit('org/pickles', { 'config.json': text('{}'), 'pytorch_model.bin': text('x') });
  opened = await site.open('/hub.html');
});
afterAll(async () => {
  await site.close();
  await hub.close();
});

const named = (more: Partial<HubModel> = {}): HubModel => ({ hub: ID, endpoint: hub.url, ...more });
const draw = (): Promise<number[]> => opened.page.evaluate((m) => window.hub.draw(m), named({ token: TOKEN }));
const verdict = (model: HubModel): Promise<string> => opened.page.evaluate((m) => window.hub.verdict(m), model);

it('says why a model cannot be had', async () => {
  expect(await verdict(named())).toMatch(
    /^SourceError: .*Accept its terms at .*org\/tiny-moe and give an access token/,
  );
  expect(await verdict(named({ hub: 'org/none' }))).toMatch(/no model "org\/none" at "main"/);
  expect(await verdict(named({ hub: 'org/pickles' }))).toMatch(/^UnsupportedModel: .*PyTorch pickles/);
});

it('loads, keeps, starts offline without a request, and deletes', async () => {
  const first = await draw();
  expect(first).toHaveLength(4);
  const asked = [...hub.front.requests].filter(({ method }) => method !== 'OPTIONS');
  expect(asked.some(({ path }) => path.endsWith('.safetensors'))).toBe(true);
  expect(hub.content.requests.length).toBeGreaterThan(0);
  expect(JSON.stringify(hub.content.requests.map((r) => [r.headers, r.path, [...r.query]]))).not.toContain(TOKEN);
  const [kept, ...others] = await opened.page.evaluate(() => window.hub.list());
  expect(others).toEqual([]);
  expect(kept).toMatchObject({ source: `${hub.url}/${ID}`, inUse: false });
  expect(kept!.bytes).toBe(kept!.totalBytes);

  hub.reset();
  await opened.page.context().setOffline(true);
  expect(await draw()).toEqual(first);
  await opened.page.context().setOffline(false);
  expect([...hub.front.requests, ...hub.content.requests]).toEqual([]);

  const { hits, bytes } = await opened.page.evaluate((token) => window.hub.find(token), TOKEN);
  expect(hits).toBe(0);
  expect(bytes).toBeGreaterThan(100_000);
  expect((await opened.page.evaluate((id) => window.hub.find(id), ID)).hits).toBeGreaterThan(0); // the search finds what is there
  expect(await opened.page.evaluate(() => window.hub.clear())).toBe(0);
  expect(opened.problems).toEqual([]);
});
