/** A server answers in the page: after a form, with a badge, and with a key that is nowhere but in one header. */
import type { Page, Request } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openSite, type Site } from '../support/browser.ts';
import { Driver, PHONE } from './driver.ts';

const KEY = 'sk-tellNobody123';
const CORS = { 'access-control-allow-origin': '*', 'access-control-allow-headers': '*' };

let site: Site;
beforeAll(async () => {
  site = await openSite('fake.html');
});
afterAll(() => site.close());

const event = (fields: object): string => `data: ${JSON.stringify(fields)}\n\n`;
const chunk = (content: string, finish_reason: string | null = null): string =>
  event({ choices: [{ index: 0, delta: { content }, finish_reason }] });
const USAGE = event({ choices: [], usage: { prompt_tokens: 9, completion_tokens: 3, total_tokens: 12 } });

/** An OpenAI-compatible server at https://ai.example/v1. @param goOn how it goes on with an answer, or its refusal. @returns what it was asked */
async function serveModels(page: Page, answer: string, goOn: object | string = ''): Promise<Request[]> {
  const asked: Request[] = [];
  await page.route('https://ai.example/**', async (route) => {
    const request = route.request();
    if (request.method() === 'OPTIONS') return route.fulfill({ headers: CORS });
    asked.push(request);
    if ((await request.headerValue('authorization')) !== `Bearer ${KEY}`)
      return route.fulfill({ status: 401, headers: CORS, json: { error: { message: 'give a key' } } });
    if (request.url().endsWith('/models'))
      return route.fulfill({ headers: CORS, json: { data: [{ id: 'small' }, { id: 'large' }] } });
    const isMore = (request.postDataJSON() as { continue_final_message?: boolean }).continue_final_message;
    if (isMore && typeof goOn === 'object') return route.fulfill({ status: 400, headers: CORS, json: goOn });
    const body = isMore ? (goOn as string) : answer;
    return route.fulfill({ headers: CORS, contentType: 'text/event-stream', body });
  });
  return asked;
}

async function connect(d: Driver, key = KEY): Promise<void> {
  await d.page.getByText('Let a server answer instead').click();
  await d.page.getByLabel('Address of the server').fill('https://ai.example/v1');
  await d.page.getByLabel(/^Key, if it wants one/).fill(key);
  await d.button('Connect').click();
}

it('answers where WebGPU is missing', async () => {
  const d = await Driver.open(site, '?unsupported');
  const asked = await serveModels(d.page, chunk('From ') + chunk('afar.', 'stop') + USAGE + 'data: [DONE]\n\n');
  await d.page.getByText('This browser has no WebGPU').waitFor();
  await connect(d);
  await d.page.getByLabel('Model', { exact: true }).selectOption('large');
  await d.button('Chat with it').click();
  expect(await d.page.locator('.answers-side').innerText()).toBe('Answers at ai.example');
  await d.send('Hello');
  await d.settled();
  await d.send('And again');
  await d.settled();
  expect(await d.answers()).toEqual(['From afar.', 'From afar.']);
  expect(await d.page.locator('.status').first().innerText()).toContain('3 tokens');
  const body = asked.at(-1)!.postDataJSON() as { model: string; messages: unknown[] };
  expect(body.model).toBe('large');
  expect(body.messages).toEqual([
    { role: 'user', content: 'Hello' },
    { role: 'assistant', content: 'From afar.' },
    { role: 'user', content: 'And again' },
  ]);
  const kept = await d.page.evaluate(() =>
    JSON.stringify([{ ...localStorage }, { ...sessionStorage }, location.href, document.body.innerHTML]),
  );
  expect(kept).not.toContain(KEY);
  expect(asked.map((r) => r.url()).join()).not.toContain(KEY);
  await d.button('Change model').click();
  await d.page.getByText('This browser has no WebGPU').waitFor();
  await d.done();
});

it('says what the server says, and that its answer was cut off', async () => {
  const d = await Driver.open(site, '', PHONE);
  await serveModels(d.page, chunk('Half an'));
  await connect(d);
  await d.page.getByLabel('Model', { exact: true }).waitFor();
  await d.button('Chat with it').click();
  await d.send('Hello');
  await d.settled();
  await d.page.locator('.note.error').waitFor();
  expect(await d.answers()).toEqual(['Half an']);
  expect(await d.overflow()).toBeLessThanOrEqual(0);
  if (process.env.SHOTS) await d.page.screenshot({ path: `${process.env.SHOTS}/remote-phone.png` });
  await d.done();
});

const DONE = 'data: [DONE]\n\n';
const CUT = chunk('The answer begins right here and ') + chunk('then', 'length') + DONE;

async function cutAnswer(goOn: object | string): Promise<{ d: Driver; asked: Request[] }> {
  const d = await Driver.open(site);
  const asked = await serveModels(d.page, CUT, goOn);
  await connect(d);
  await d.button('Chat with it').click();
  await d.send('Hello');
  await d.settled();
  await d.button('Continue').click();
  await d.settled();
  return { d, asked };
}

it('goes on with an answer where the server can', async () => {
  const { d, asked } = await cutAnswer(chunk(' it ends.', 'stop') + DONE);
  await expect.poll(() => d.answers()).toEqual(['The answer begins right here and then it ends.']);
  const body = asked.at(-1)!.postDataJSON() as { messages: unknown[] };
  expect(body).toMatchObject({ continue_final_message: true, add_generation_prompt: false });
  expect(body.messages.at(-1)).toEqual({ role: 'assistant', content: 'The answer begins right here and then' });
  expect(await d.button('Continue').isVisible()).toBe(false);
  await d.done();
});

it.each([
  ['refuses', { error: { message: 'no such field' } }, /ai\.example does not go on .* 400: no such field/],
  [
    'begins anew',
    chunk('The answer begins right here and goes elsewhere', 'stop') + DONE,
    /ai\.example began the answer anew/,
  ],
])('says why not where the server %s, and offers another answer', async (_, goOn, said) => {
  const { d, asked } = await cutAnswer(goOn);
  const note = d.page.getByRole('alert').filter({ hasText: 'ai.example' });
  expect(await note.innerText()).toMatch(said);
  expect(await d.answers()).toEqual(['The answer begins right here and then']);
  await note.getByRole('button', { name: 'Regenerate' }).click();
  await expect.poll(() => asked.length).toBe(4);
  await d.settled();
  expect(await d.page.locator('.branches').last().innerText()).toContain('2 / 2');
});

it('a refusal leaves the form as it was', async () => {
  const d = await Driver.open(site);
  await serveModels(d.page, '');
  await connect(d, 'wrong-key');
  await d.page.getByText('the server answered 401: give a key').waitFor();
  expect(await d.button('Chat with it').isVisible()).toBe(false);
  if (process.env.SHOTS) await d.page.screenshot({ path: `${process.env.SHOTS}/remote-form.png`, fullPage: true });
});

it('a model on this computer says so', async () => {
  const d = await Driver.open(site);
  await d.chat();
  expect(await d.page.locator('.answers-side').innerText()).toBe('Answers on this computer');
  await d.done();
});
