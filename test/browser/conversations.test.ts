/** Conversations on the page, in a real browser's storage, with a scripted model. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { BrowserContext } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openSite, type OpenOptions, type Site } from '../support/browser.ts';
import { Driver, PHONE } from './driver.ts';

let site: Site;
beforeAll(async () => {
  site = await openSite('fake.html');
});
afterAll(() => site.close());

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

async function open(query = '', options: OpenOptions = {}): Promise<Driver> {
  const d = await Driver.open(site, query, options);
  await d.chat();
  return d;
}

/** One question with its answer. */
async function turn(d: Driver, question: string, answer: string): Promise<void> {
  await d.send(question);
  await d.answer(answer);
}

const said = (d: Driver): Promise<string[]> => d.page.locator('.message .text').allTextContents();
const titles = (d: Driver): Promise<string[]> => d.page.locator('.row .title').allTextContents();
const places = (d: Driver): Promise<string[]> => d.page.locator('.branches:visible').allInnerTexts();
const lastPrompt = (d: Driver): Promise<unknown> => d.page.evaluate(() => window.fake.prompts.at(-1));

/** A tool of the message that shows this text. */
async function tool(d: Driver, text: string, name: string): Promise<void> {
  const message = d.page.locator('.message', { hasText: text }).last();
  await message.hover();
  await message.getByRole('button', { name, exact: true }).click();
}

async function reload(d: Driver): Promise<void> {
  await d.page.reload();
  await d.chat();
}

/** Rules that axe calls serious or critical. */
async function barriers(d: Driver): Promise<string[]> {
  await d.page.evaluate(axe);
  return d.page.evaluate(async () => {
    const { violations } = await (
      globalThis as unknown as {
        axe: { run: () => Promise<{ violations: { id: string; impact: string; nodes: { html: string }[] }[] }> };
      }
    ).axe.run();
    return violations
      .filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`);
  });
}

describe('a conversation', () => {
  it('of three turns is there after a reload, with its draft', async () => {
    const d = await open();
    await turn(d, 'One?', 'First.');
    await turn(d, 'Two?', 'Second.');
    await turn(d, 'Three?', 'Third.');
    await d.box.fill('half writt');
    await reload(d);
    expect(await said(d)).toEqual(['One?', 'First.', 'Two?', 'Second.', 'Three?', 'Third.']);
    expect(await d.box.inputValue()).toBe('half writt');
    await expect.poll(() => titles(d)).toEqual(['One?']);
    await turn(d, 'Four?', 'Fourth.');
    expect(((await lastPrompt(d)) as unknown[]).length).toBe(7);
    await d.done();
  });

  it('keeps what an answer had said when the tab goes away, and goes on with it', async () => {
    const d = await open();
    await d.send('Long?');
    await d.fake('say', 'Half of ');
    await d.page.getByText('Half of').waitFor();
    await d.fake('say', 'an ans');
    await d.page.waitForTimeout(1300); // it is saved once a second
    await reload(d);
    expect(await d.answers()).toEqual(['Half of an ans']);
    expect(await d.page.locator('.status').innerText()).toBe('Interrupted');
    await d.button('Continue').click();
    expect(await lastPrompt(d)).toEqual([
      { role: 'user', content: 'Long?' },
      { role: 'assistant', content: 'Half of an ans' },
    ]);
    expect(await d.page.evaluate(() => window.fake.asked.at(-1)?.continueFinal)).toBe(true);
    await d.answer('wer.');
    expect(await d.answers()).toEqual(['Half of an answer.']);
    expect(await d.button('Continue').count()).toBe(0);
    await reload(d);
    expect(await d.answers()).toEqual(['Half of an answer.']);
    await d.done();
  });

  it('makes branches of edits and other answers, switches between them, and deletes one', async () => {
    const d = await open();
    await turn(d, 'Colour?', 'Red.');
    await tool(d, 'Red.', 'Regenerate');
    await d.answer('Green.');
    await turn(d, 'Sure?', 'Yes.');
    expect(await said(d)).toEqual(['Colour?', 'Green.', 'Sure?', 'Yes.']);
    expect(await places(d)).toEqual(['2 / 2']);
    await tool(d, 'Green.', 'Previous version');
    await d.page.getByText('Red.').waitFor();
    expect(await said(d)).toEqual(['Colour?', 'Red.']);
    expect(await d.page.evaluate(() => document.activeElement?.getAttribute('aria-label'))).toBe('Previous version');

    await tool(d, 'Colour?', 'Edit');
    await d.page.getByRole('textbox', { name: 'Other version' }).fill('Shape?');
    await d.button('Send').first().click();
    await d.answer('Round.');
    expect(await said(d)).toEqual(['Shape?', 'Round.']);
    expect(await lastPrompt(d)).toEqual([{ role: 'user', content: 'Shape?' }]);

    await tool(d, 'Round.', 'Edit');
    await d.page.getByRole('textbox', { name: 'Other version' }).fill('Square.');
    await d.button('Save as another version').click();
    await d.page.getByText('Edited by you').waitFor();
    await reload(d);
    expect(await said(d)).toEqual(['Shape?', 'Square.']);
    expect(await places(d)).toEqual(['2 / 2', '2 / 2']);

    await tool(d, 'Square.', 'Delete');
    await d.page.getByText('Round.').waitFor();
    expect(await places(d)).toEqual(['2 / 2']);
    await d.button('Undo').click();
    await d.page.getByText('Square.').waitFor();
    expect(await places(d)).toEqual(['2 / 2', '2 / 2']);
    await d.done();
  });

  it('uses its own settings, shows the model’s, and keeps them', async () => {
    const d = await open();
    await d.button('Settings of this conversation').click();
    const temperature = d.page.getByLabel('Temperature');
    expect(await temperature.getAttribute('placeholder')).toBe('0.6');
    await temperature.fill('9');
    await d.page.getByText('Needs a number of at least 0, at most 5: not used.').waitFor();
    await temperature.fill('0.25');
    await d.page.getByLabel('Seed').fill('42');
    await d.page.getByLabel('System prompt').fill('Be brief.');
    expect(await barriers(d)).toEqual([]);
    await d.page.keyboard.press('Escape');
    await turn(d, 'Hello?', 'Hi.');
    expect(await d.page.evaluate(() => window.fake.asked)).toEqual([{ maxTokens: 1024, temperature: 0.25, seed: 42 }]);
    expect(await lastPrompt(d)).toEqual([
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Hello?' },
    ]);
    await reload(d);
    await d.button('Settings of this conversation').click();
    expect(await temperature.inputValue()).toBe('0.25');
    await d.button('Use the model’s own').click();
    expect(await temperature.inputValue()).toBe('');
    await d.page.keyboard.press('Escape');
    await turn(d, 'Again?', 'Hi.');
    expect(await d.page.evaluate(() => window.fake.asked)).toEqual([{ maxTokens: 1024 }]);
    await d.done();
  });

  it('tells what an answer took, and copies it', async () => {
    const d = await open('?store', { permissions: ['clipboard-read', 'clipboard-write'] });
    await d.send('Figures?');
    await d.page.getByText('Reading your message').waitFor();
    await d.store('token', { hits: 12, needed: 16 });
    await d.answer('Some **text**.');
    expect(await d.page.locator('.status').innerText()).toContain('75% hits');
    await tool(d, 'Some', 'Figures');
    expect(await d.page.locator('.figures').innerText()).toMatch(
      /Prompt\s+20 tokens, read at 80 tokens\/s[\s\S]*Seed\s+1\b/,
    );
    await tool(d, 'Some', 'Copy');
    await expect.poll(() => d.page.evaluate(() => navigator.clipboard.readText())).toBe('Some **text**.');
    await d.done();
  });
});

describe('the list', () => {
  it('renames, searches, opens what was found, deletes and takes it back', async () => {
    const d = await open();
    await turn(d, 'About cats', 'They purr.');
    await tool(d, 'They purr.', 'Regenerate');
    await d.answer('They sleep.');
    await d.button('New chat').click();
    await turn(d, 'About dogs', 'They bark.');
    await expect.poll(() => titles(d)).toEqual(['About dogs', 'About cats']);
    expect(await d.page.locator('.list h2').allInnerTexts()).toEqual(['Today']);

    await d.page.locator('.row .open').first().press('F2');
    await d.page.getByRole('textbox', { name: 'Title' }).fill('Hounds');
    await d.page.keyboard.press('Enter');
    await expect.poll(() => titles(d)).toEqual(['Hounds', 'About cats']);
    expect(await d.page.evaluate(() => document.activeElement?.textContent)).toBe('Hounds');

    await d.page.keyboard.press('Control+k');
    await d.page.keyboard.type('PURR');
    await expect.poll(() => titles(d)).toEqual(['About cats']);
    expect(await d.page.locator('.snippet mark').innerText()).toBe('purr');
    expect(await barriers(d)).toEqual([]);
    await d.page.keyboard.press('ArrowDown');
    await d.page.keyboard.press('Enter');
    await expect.poll(() => said(d)).toEqual(['About cats', 'They purr.']); // the branch that has the word

    await d.page.getByRole('searchbox').fill('');
    await d.page.locator('.row .open').first().focus();
    await d.page.keyboard.press('ArrowDown');
    await d.page.keyboard.press('Delete');
    await expect.poll(() => titles(d)).toEqual(['Hounds']);
    expect(await d.page.evaluate(() => document.activeElement?.textContent)).toBe('Hounds');
    await d.page.getByText('Ask something').waitFor();
    await d.page.locator('.toast .button').waitFor();
    await d.page.keyboard.press('Alt+z');
    await expect.poll(() => titles(d)).toEqual(['Hounds', 'About cats']);
    await reload(d);
    await expect.poll(() => titles(d)).toEqual(['Hounds', 'About cats']);
    await d.done();
  });

  it('exports and imports, always as new ones, and says what is wrong with a file', async () => {
    const d = await open();
    await turn(d, 'Keep this', 'Kept <b>as it is</b>.');
    const download = async (name: string): Promise<string> => {
      const [file] = await Promise.all([d.page.waitForEvent('download'), d.button(name).click()]);
      return readFileSync(await file.path(), 'utf8');
    };
    const whole = await download('Export all');
    expect(whole).toContain('"format": "webmoe-conversations"');
    const input = d.page.locator('.conversations input[type=file]');
    const give = (text: string): Promise<void> =>
      input.setInputFiles({ name: 'x.json', mimeType: 'application/json', buffer: Buffer.from(text) });
    await give(whole);
    await expect.poll(() => titles(d)).toEqual(['Keep this', 'Keep this']);
    await give(whole.replace('"Keep this"', '17'));
    await d.page
      .getByRole('alert')
      .getByText('x.json: conversations[0].title must be a text. Nothing was imported.')
      .waitFor();
    expect(await titles(d)).toHaveLength(2);
    const again = JSON.parse(await download('Export all')) as { conversations: { id: string; messages: unknown[] }[] };
    expect(new Set(again.conversations.map((c) => c.id)).size).toBe(2);

    // A file that is dropped on the list.
    await d.page.evaluate((text) => {
      const data = new DataTransfer();
      data.items.add(new File([text], 'dropped.json'));
      document
        .querySelector('.conversations')!
        .dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));
    }, whole);
    await expect.poll(() => titles(d)).toHaveLength(3);
    await reload(d);
    await expect.poll(() => titles(d)).toHaveLength(3);
    await d.page.locator('.more-button').first().click({ force: true });
    const [markdown] = await Promise.all([
      d.page.waitForEvent('download'),
      d.page.getByRole('menuitem', { name: 'Export as Markdown' }).click(),
    ]);
    expect(markdown.suggestedFilename()).toBe('Keep-this.md');
    expect(readFileSync(await markdown.path(), 'utf8')).toContain(
      '## You\n\nKeep this\n\n## smolmoe-135m-instruct\n\nKept <b>as it is</b>.',
    );
    await d.done();
  });

  it('is a drawer on a phone, and nothing scrolls sideways', async () => {
    const d = await open('', PHONE);
    await turn(d, 'On a phone, with quite a long question', 'Yes.');
    expect(await d.page.getByRole('navigation').isVisible()).toBe(false);
    await d.button('Conversations').click();
    await d.page.getByRole('navigation').waitFor();
    expect(await barriers(d)).toEqual([]);
    expect(await d.overflow()).toBe(0);
    await d.button('New conversation').click();
    await d.page.getByText('Ask something').waitFor();
    await d.button('Conversations').click();
    await d.page.locator('.row .open').first().click();
    await expect.poll(() => said(d)).toEqual(['On a phone, with quite a long question', 'Yes.']);
    expect(await d.page.locator('dialog[open]').count()).toBe(0);
    await d.done();
  });
});

describe('links', () => {
  it('hold a question in the fragment, and ask before they ask', async () => {
    const d = await open();
    await turn(d, 'Shared?', 'Yes.');
    await tool(d, 'Yes.', 'Share');
    const link = new URL(await d.page.getByLabel('Link').inputValue());
    expect(link.search).toBe('');
    await d.done();

    const e = await open(link.hash);
    await e.page.getByText('This link brings a question').waitFor();
    expect(await e.page.locator('.shared-parts').innerText()).toMatch(/Question\s+Shared\?\s+Settings\s+Seed 1/);
    expect(await e.page.evaluate(() => window.fake.prompts)).toEqual([]);
    expect(await barriers(e)).toEqual([]);
    await e.button('Ask it').click();
    await e.answer('Again yes.');
    expect(await said(e)).toEqual(['Shared?', 'Again yes.']);
    expect(await e.page.evaluate(() => window.fake.asked)).toEqual([{ maxTokens: 1024, seed: 1 }]);
    expect(new URL(e.page.url()).hash).toBe('');
    await e.page.evaluate(() => (location.hash = '#ask=junk'));
    await e.page.getByRole('alert').getByText('it was cut or changed on its way').waitFor();
    await e.done();
  });
});

describe('keys', () => {
  it('are listed by "?", which can be switched off', async () => {
    const d = await open();
    await d.box.pressSequentially('?');
    expect(await d.box.inputValue()).toBe('?');
    await d.page.locator('.log').focus();
    await d.page.keyboard.press('?');
    await d.page.getByRole('dialog', { name: 'Keys' }).waitFor();
    expect(await barriers(d)).toEqual([]);
    await d.page.getByLabel('Keys of a single character').uncheck();
    await d.page.keyboard.press('Escape');
    expect(await d.page.evaluate(() => document.activeElement?.className)).toBe('log');
    await d.page.keyboard.press('?');
    expect(await d.page.getByRole('dialog').count()).toBe(0);
    await d.page.keyboard.press('Control+b');
    expect(await d.page.getByRole('navigation').isVisible()).toBe(false);
    await d.done();
  });
});

describe('what is read out', () => {
  it('comes by sentence, and nothing is a barrier in either theme', async () => {
    for (const colorScheme of ['light', 'dark'] as const) {
      const d = await open('?store&storage', { colorScheme });
      const read = (): Promise<string> => d.page.locator('.visually-hidden[role=status]').innerText();
      await d.send('Tell me');
      await d.fake('say', 'One thing. And an');
      await expect.poll(read).toBe('One thing.');
      expect(await barriers(d)).toEqual([]);
      await d.fake('say', 'other. ');
      await expect.poll(read).toMatch(/^One thing\.\s+And another\.$/);
      await d.fake('end');
      await d.settled();
      await tool(d, 'One thing', 'Figures');
      expect(await barriers(d)).toEqual([]);
      await d.done();
    }
  });
});

describe('storage', () => {
  it('of two tabs: both write, neither overwrites', async () => {
    const a = await open();
    await turn(a, 'One?', 'First.');
    const page = await a.page.context().newPage();
    await page.goto(a.page.url());
    const b = new Driver({ page, problems: [], close: () => page.close() });
    await b.chat();
    await expect.poll(() => titles(b)).toEqual(['One?']);
    await page.locator('.row .open').click();
    expect(await said(b)).toEqual(['One?', 'First.']);

    // The same place, at the same time.
    await Promise.all([a.send('From A'), b.send('From B')]);
    await a.fake('say', 'To A');
    await b.fake('say', 'To B');
    await Promise.all([a.fake('end'), b.fake('end')]);
    await Promise.all([a.settled(), b.settled()]);
    expect(await said(a)).toEqual(['One?', 'First.', 'From A', 'To A']);
    expect(await said(b)).toEqual(['One?', 'First.', 'From B', 'To B']);
    await expect.poll(() => places(a)).toHaveLength(1);
    await expect.poll(() => places(b)).toHaveLength(1);
    await a.page
      .locator(
        '[aria-label="Previous version"][aria-disabled="false"], [aria-label="Next version"][aria-disabled="false"]',
      )
      .first()
      .click();
    await expect.poll(() => said(a)).toEqual(['One?', 'First.', 'From B', 'To B']);

    // An answer that both go on with becomes two.
    await b.button('New chat').click();
    await b.send('Stop');
    await b.fake('say', 'Half');
    await page.getByText('Half').waitFor();
    await page.keyboard.press('Escape');
    await b.settled();
    await expect.poll(() => titles(a)).toEqual(['Stop', 'One?']);
    await a.page.locator('.row .open').first().click();
    await Promise.all([a.button('Continue').click(), b.button('Continue').click()]);
    await Promise.all([a.answer(' and A'), b.answer(' and B')]);
    expect([await a.answers(), await b.answers()]).toEqual([['Half and A'], ['Half and B']]);
    await expect.poll(() => places(a)).toHaveLength(1);

    // Deleted here, gone there.
    await b.page.locator('.row .open').first().press('Delete');
    await expect.poll(() => titles(a)).toEqual(['One?']);
    await a.page.getByText('Ask something').waitFor();
    await b.done();
    await a.done();
  });

  const script =
    (content: string) =>
    (context: BrowserContext): Promise<void> =>
      context.addInitScript({ content }).then(() => undefined);
  it.each([
    [
      'forbidden',
      `IDBFactory.prototype.open = () => { throw new DOMException('no', 'SecurityError'); };`,
      /keeps nothing for this page/,
    ],
    [
      'full',
      `IDBObjectStore.prototype.put = function () { throw new DOMException('no', 'QuotaExceededError'); };`,
      /is full/,
    ],
  ])('that is %s: the page goes on in memory, and says so', async (_, content, why) => {
    const d = await open('', { before: script(content) });
    await turn(d, 'Works?', 'It does.');
    await d.button('New chat').click();
    await turn(d, 'Still?', 'Yes.');
    await expect.poll(() => titles(d)).toEqual(['Still?', 'Works?']);
    await d.page.locator('.conversations > .note').getByText(why).waitFor();
    await d.page.locator('.row .open').nth(1).click();
    await expect.poll(() => said(d)).toEqual(['Works?', 'It does.']);
    await d.done();
  });
});
