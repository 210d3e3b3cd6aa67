/** Every state of the page, on a scripted model. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openSite, type OpenOptions, type Site } from '../support/browser.ts';
import { Driver, PHONE } from './driver.ts';
import type { LoadProgress } from '../../src/index.ts';
import type { FakeError } from './pages/fake.ts';

const WEIGHTS = {
  phase: 'weights',
  loadedBytes: 58.2e6,
  totalBytes: 129e6,
  bytesPerSecond: 12.4e6,
  remainingSeconds: 5.7,
} as const;

let site: Site;
beforeAll(async () => {
  site = await openSite('fake.html');
});
afterAll(() => site.close());

const open = (query = '', options: OpenOptions = {}): Promise<Driver> => Driver.open(site, query, options);

describe('before and during a load', () => {
  it('asks first, with sizes', async () => {
    const d = await open();
    await d.button('Load the model').waitFor();
    const text = await d.page.locator('main').innerText();
    expect(text).toContain('You are about to load smolmoe-135m-instruct (129 MB)');
    expect(text).toContain('332 MB');
    expect(await d.page.locator('.banner').isVisible()).toBe(false);
    await d.done();
  });

  it('loads at once with ?autoload=1', async () => {
    const d = await open('?autoload=1');
    await d.page.getByText('Loading smolmoe-135m-instruct').waitFor();
    await d.done();
  });

  it('shows phase, bytes, speed and time left, without moving the layout', async () => {
    const d = await open();
    await d.button('Load the model').click();
    const height = (): Promise<number> => d.page.locator('.card').evaluate((card) => card.clientHeight);
    const before = await height();
    await d.fake('progress', WEIGHTS);
    expect(await d.page.locator('[data-fact=progress]').innerText()).toBe('58.2 MB of 129 MB · 12.4 MB/s · 6 s left');
    expect(await d.page.locator('progress').evaluate((bar: HTMLProgressElement) => bar.position)).toBeCloseTo(0.451, 3);
    await d.fake('progress', { ...WEIGHTS, phase: 'compile', loadedBytes: 129e6 });
    expect(await d.page.locator('.phase').innerText()).toBe('Preparing the graphics card');
    expect(await height()).toBe(before);
    await d.done();
  });

  it('has the files on expand, also while paused and when it goes on', async () => {
    const d = await open('?storage');
    await d.button('Load the model').click();
    const files = (a: number): object[] => [
      { name: 'model-00001-of-00002.safetensors', loadedBytes: a, totalBytes: 80e6 },
      { name: 'model-00002-of-00002.safetensors', loadedBytes: 0, totalBytes: 49e6 },
    ];
    await d.fake('progress', { ...WEIGHTS, files: files(58.2e6) } as LoadProgress);
    const summary = d.page.locator('.files summary');
    expect(await summary.innerText()).toBe('0 of 2 files complete');
    await summary.focus();
    await d.page.keyboard.press('Enter');
    expect((await d.page.locator('.file-list').innerText()).replace(/\s*\n\s*/g, ' ')).toBe(
      'model-00001-of-00002.safetensors 58.2 MB of 80.0 MB model-00002-of-00002.safetensors 0 bytes of 49.0 MB',
    );
    expect(await d.broken()).toEqual([]);
    await d.shot('loading-files');
    await d.button('Pause').click();
    await d.button('Go on').waitFor();
    expect(await d.page.getByText('58.2 MB of 80.0 MB').isVisible()).toBe(true);
    await d.button('Go on').click();
    await d.fake('progress', { ...WEIGHTS, files: files(80e6) } as LoadProgress);
    expect(await summary.innerText()).toBe('1 of 2 files complete');
    expect(await d.page.locator('.file-list li').count()).toBe(2);
    await d.done();
  });

  it('cancels back to the question', async () => {
    const d = await open();
    await d.button('Load the model').click();
    await d.fake('progress', WEIGHTS);
    await d.button('Cancel').click();
    await d.button('Load the model').waitFor();
    await d.chat();
    await d.done();
  });

  it.each([
    ['source', 'The model could not be fetched'],
    ['unsupported', 'webmoe does not run this model'],
    ['out-of-budget', 'The model does not fit on this graphics card'],
    ['limit', 'This graphics card lacks something for this model'],
    ['fault', 'Something went wrong in webmoe'],
  ] as const)('says what is wrong when loading fails: %s', async (kind: FakeError, title) => {
    const d = await open();
    await d.button('Load the model').click();
    await d.fake('failLoad', kind);
    expect(await d.page.getByRole('heading', { level: 1 }).innerText()).toBe(title);
    await d.page.locator('.diagnostics summary').click();
    const details = await d.page.locator('pre').innerText();
    expect(details).toContain('Acme 3000');
    expect(details).toContain('maxStorageBufferBindingSize: 134217728');
    expect(details).toContain('Chrome');
    await d.button('Try again').click();
    await d.button('Load the model').waitFor();
    await d.done();
  });

  it('shows needed beside available when something is too small', async () => {
    const d = await open();
    await d.button('Load the model').click();
    await d.fake('failLoad', 'out-of-budget');
    expect(await d.page.locator('.facts').innerText()).toMatch(/Needed\s+14\.0 GB\s+Available\s+6\.44 GB/);
    await d.done();
  });

  it('loads the files of a folder', async () => {
    const d = await open();
    await d.page.locator('input[type=file]').setInputFiles('test/fixtures/families/olmoe');
    await d.page.getByText('Loading olmoe').waitFor();
    await d.done();
  });

  it('warns of a software adapter', async () => {
    const d = await open('?software');
    await d.chat();
    expect(await d.page.locator('.banner').innerText()).toContain('WebGPU runs in software here (Acme 3000)');
    await d.done();
  });
});

describe('a chat', () => {
  it('streams, shows speed, and sends the whole history next time', async () => {
    const d = await open();
    await d.chat();
    await d.send('First question');
    await d.page.getByText('Reading your message').waitFor();
    await d.fake('say', 'The first ');
    await d.page.getByText('The first').waitFor();
    expect(await d.page.locator('.log').getAttribute('aria-busy')).toBe('true');
    expect(await d.page.locator('.branches:visible').count()).toBe(0);
    expect(await d.page.locator('[role=status]').innerText()).not.toContain('The first');
    await d.answer('answer.');
    expect(await d.answers()).toEqual(['The first answer.']);
    expect(await d.page.locator('.status').innerText()).toBe('13 tokens/s · first token after 0.25 s · 2 tokens');
    expect(await d.page.locator('[role=status]').innerText()).toBe('The first answer.');
    await d.send('Second question');
    await d.answer('Second.');
    expect(await d.page.evaluate(() => window.fake.prompts[1])).toEqual([
      { role: 'user', content: 'First question' },
      { role: 'assistant', content: 'The first answer.' },
      { role: 'user', content: 'Second question' },
    ]);
    await d.done();
  });

  it('shows what a model writes as text, whatever it is', async () => {
    const d = await open();
    await d.chat();
    const hostile = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>\n  kept   spaces';
    await d.send(hostile);
    await d.answer(hostile);
    expect(await d.answers()).toEqual([hostile]);
    expect(await d.page.locator('.user .text').textContent()).toBe(hostile);
    expect(await d.page.locator('.message img, .message script').count()).toBe(0);
    expect(await d.page.evaluate(() => 'hacked' in window)).toBe(false);
    expect(await d.page.locator('.assistant .text').evaluate((e) => getComputedStyle(e).whiteSpace)).toBe('pre-wrap');
    await d.done();
  });

  it('Enter sends, Shift+Enter makes a line, nothing empty is sent', async () => {
    const d = await open();
    await d.chat();
    await d.send('   ');
    expect(await d.page.locator('.message').count()).toBe(0);
    await d.box.fill('one');
    const height = (): Promise<number> => d.box.evaluate((box) => box.clientHeight);
    const oneLine = await height();
    await d.box.press('Shift+Enter');
    await d.box.pressSequentially('two');
    expect(await d.box.inputValue()).toBe('one\ntwo');
    expect(await height()).toBeGreaterThan(oneLine);
    await d.box.press('Enter');
    expect(await d.page.locator('.user .text').textContent()).toBe('one\ntwo');
    expect(await d.box.inputValue()).toBe('');
    expect(await height()).toBe(oneLine);
    await d.done();
  });

  it.each(['the button', 'Esc'])('stops with %s and keeps what was said', async (how) => {
    const d = await open();
    await d.chat();
    await d.send('Question');
    await d.fake('say', 'Half an ');
    await d.page.getByText('Half an').waitFor();
    if (how === 'Esc') await d.page.keyboard.press('Escape');
    else await d.button(/^Stop/).click();
    await d.settled();
    expect(await d.answers()).toEqual(['Half an ']);
    expect(await d.page.locator('.status').innerText()).toMatch(/^Stopped · /);
    await d.send('Go on');
    expect(await d.page.evaluate(() => (window.fake.prompts[1] as unknown[]).length)).toBe(3);
    await d.done();
  });

  it('gives the question back when stopped before the first word', async () => {
    const d = await open();
    await d.chat();
    await d.send('Too early');
    await d.page.keyboard.press('Escape');
    await d.settled();
    expect(await d.page.locator('.message').count()).toBe(0);
    expect(await d.box.inputValue()).toBe('Too early');
    await d.done();
  });

  it('starts a new chat in the middle of an answer', async () => {
    const d = await open();
    await d.chat();
    await d.send('Old');
    await d.fake('say', 'An old answer');
    await d.page.getByText('An old answer').waitFor();
    await d.button('New chat').click();
    await d.page.getByText('Ask something').waitFor();
    expect(await d.page.locator('.message').count()).toBe(0);
    expect(await d.box.inputValue()).toBe('');
    await d.button('What is the capital of France?').click();
    await d.answer('Paris');
    expect(await d.answers()).toEqual(['Paris']);
    expect(await d.page.evaluate(() => (window.fake.prompts[1] as unknown[]).length)).toBe(1);
    await d.done();
  });

  it('says when an answer was cut, or the context is full', async () => {
    const d = await open();
    await d.chat();
    await d.send('Long');
    await d.fake('say', 'On and on');
    await d.fake('end', { finishReason: 'length' });
    await d.page.getByText('The answer was cut at 1,024 tokens.').waitFor();
    await d.send('Longer');
    await d.fake('say', 'On and on');
    await d.fake('end', { finishReason: 'length', promptTokens: 190, generatedTokens: 10 });
    await d.page.getByText('The conversation fills the model’s context').waitFor();
    await d.send('More');
    await d.fake('fail', 'full');
    await d.page.getByRole('alert').getByText('This message does not fit').waitFor();
    await d.page.getByRole('alert').getByRole('button', { name: 'New chat' }).click();
    await d.page.getByText('Ask something').waitFor();
    await d.done();
  });

  it('shows an error with a way to try again', async () => {
    const d = await open();
    await d.chat();
    await d.send('Question');
    await d.fake('fail', 'fault');
    const alert = d.page.getByRole('alert');
    await alert.waitFor();
    expect(await alert.innerText()).not.toContain('undefined');
    await alert.getByRole('button', { name: 'Try again' }).click();
    await d.answer('Better');
    expect(await d.answers()).toEqual(['Better']);
    expect(await d.page.locator('.user').count()).toBe(1);
    expect(await d.page.evaluate(() => (window.fake.prompts[1] as unknown[]).length)).toBe(1);
    await d.done();
  });

  it('follows a long answer, but not when the reader has scrolled up', async () => {
    const d = await open('', { viewport: { width: 800, height: 500 } });
    await d.chat();
    await d.send('Long');
    const fromEnd = (): Promise<number> =>
      d.page.locator('.log').evaluate((log) => log.scrollHeight - log.scrollTop - log.clientHeight);
    await d.fake('say', 'line\n'.repeat(60));
    await expect.poll(async () => (await d.answers())[0]?.length).toBe(299);
    expect(await fromEnd()).toBeLessThan(2);
    await d.page.locator('.log').evaluate((log) => log.scrollTo(0, 0));
    await d.fake('say', 'more\n'.repeat(10));
    await expect.poll(async () => (await d.answers())[0]?.length).toBe(349);
    expect(await fromEnd()).toBeGreaterThan(500);
    await d.done();
  });

  it('goes back to the question of the model, and frees the old one', async () => {
    const d = await open();
    await d.chat();
    await d.button('Change model').click();
    await d.button('Load the model').waitFor();
    expect(await d.page.evaluate(() => window.fake.disposed)).toBe(1);
    await d.fake('lose', 'destroyed', '');
    expect(await d.view()).toBe('start');
    await d.done();
  });
});

describe('a lost device', () => {
  it('is replaced under a notice, while the answer waits and goes on', async () => {
    const d = await open();
    await d.chat();
    const notice = d.page.locator('p.notice');
    await d.send('Question');
    await d.fake('say', 'One ');
    expect(await notice.isVisible()).toBe(false);
    await d.fake('recover', 'lost', 1);
    expect(await notice.innerText()).toBe('The graphics device was lost; rebuilding…');
    await d.fake('recover', 'rebuilding', 2);
    expect(await notice.innerText()).toBe('The graphics device was lost; rebuilding, try 2…');
    await d.fake('recover', 'recovered', 2);
    expect(await notice.isVisible()).toBe(false);
    await d.answer('two');
    expect(await d.answers()).toEqual(['One two']);
    await d.fake('recover', 'failed', 1, 'The server is gone');
    expect(await notice.innerText()).toBe(
      'The model could not be rebuilt. The server is gone. Your next message tries again.',
    );
    await d.fake('recover', 'gave-up', 3);
    await d.fake('lose', 'unknown', '');
    await expect.poll(() => d.view()).toBe('problem');
    expect(await notice.isVisible()).toBe(false);
    await d.done();
  });

  it('offers one reload that keeps the conversation, and then calls for a pause', async () => {
    const d = await open();
    await d.chat();
    await d.send('Question');
    await d.answer('Answer');
    await d.send('Unanswered');
    await d.fake('lose', 'unknown', 'Device hung.');
    expect(await d.page.getByRole('heading', { level: 1 }).innerText()).toBe('The graphics card stopped');
    expect(await d.page.locator('.summary').innerText()).toContain('Device hung.');
    await d.button('Reload the model').click();
    await d.fake('finishLoad');
    await d.page.locator('.chat').waitFor();
    expect(await d.answers()).toEqual(['Answer']);
    expect(await d.box.inputValue()).toBe('Unanswered');
    expect(await d.page.evaluate(() => window.fake.loads.map((l) => l.prefillChunk ?? null))).toEqual([null, 64]);
    await d.fake('lose', 'unknown', '');
    expect(await d.page.getByRole('heading', { level: 1 }).innerText()).toBe('The graphics card stopped again');
    expect(await d.button('Reload the model').count()).toBe(0);
    await d.button('Start over').click();
    await d.button('Load the model').waitFor();
    await d.done();
  });
});

describe('looks', () => {
  const background = (d: Driver): Promise<string> =>
    d.page.evaluate(() => getComputedStyle(document.body).backgroundColor);

  it('follows the system’s theme until the visitor chooses, and remembers the choice', async () => {
    const d = await open('', { colorScheme: 'dark' });
    const dark = await background(d);
    await d.button('Use the light theme').click();
    const light = await background(d);
    expect(light).not.toBe(dark);
    await d.page.reload();
    await d.button('Use the dark theme').waitFor();
    expect(await background(d)).toBe(light);
    await d.button('Use the dark theme').click();
    expect(await background(d)).toBe(dark);
    expect(await d.page.evaluate(() => localStorage.length)).toBe(0);
    await d.done();
  });

  it('has no sideways scroll on a phone, in any view', async () => {
    const d = await open('?software', PHONE);
    await d.button('Load the model').waitFor();
    expect(await d.overflow()).toBe(0);
    await d.button('Load the model').click();
    await d.fake('progress', WEIGHTS);
    expect(await d.overflow()).toBe(0);
    await d.fake('finishLoad');
    await d.page.locator('.chat').waitFor();
    await d.send('w'.repeat(200));
    await d.fake('say', `${'x'.repeat(300)} https://example.org/${'y'.repeat(100)}`);
    await d.fake('fail', 'source');
    await d.settled();
    expect(await d.overflow()).toBe(0);
    expect(await d.page.locator('.log').evaluate((log) => log.scrollWidth - log.clientWidth)).toBe(0);
    await d.fake('lose', 'unknown', 'z'.repeat(200));
    await d.page.locator('.diagnostics summary').click();
    expect(await d.overflow()).toBe(0);
    await d.done();
  });

  it('works by keyboard alone, with focus in sight', async () => {
    const d = await open();
    const { page } = d;
    const focused = (): Promise<string> =>
      page.evaluate(
        () => document.activeElement?.getAttribute('aria-label') ?? document.activeElement?.textContent ?? '',
      );
    await d.button('Load the model').waitFor();
    await page.keyboard.press('Tab');
    expect(await focused()).toBe('Load the model');
    const outline = (): Promise<string> =>
      page.evaluate(() => getComputedStyle(document.activeElement as Element).outlineStyle);
    expect(await outline()).toBe('solid');
    await page.keyboard.press('Enter');
    await d.fake('finishLoad');
    await page.locator('.chat').waitFor();
    expect(await focused()).toBe('Message');
    await page.keyboard.type('By keyboard');
    await page.keyboard.press('Tab');
    expect(await focused()).toBe('Send (Enter)');
    await page.keyboard.press('Enter');
    expect(await focused()).toBe('Stop the answer (Esc)');
    await d.answer('Done');
    expect(await focused()).toBe('Message');
    const unnamed = await page
      .locator('button')
      .evaluateAll((all) => all.filter((b) => !b.getAttribute('aria-label') && !b.textContent?.trim()).length);
    expect(unnamed).toBe(0);
    await d.done();
  });

  it('keeps text readable: contrast of at least 4.5 in both themes', async () => {
    for (const colorScheme of ['light', 'dark'] as const) {
      const d = await open('?software', { colorScheme });
      await d.chat();
      await d.send('Question');
      await d.fake('say', 'Answer');
      await d.fake('fail', 'source');
      await d.settled();
      for (const [text, ground] of [
        ['.footnote', 'body'],
        ['.status', 'body'],
        ['.assistant .text', 'body'],
        ['.user .text', '.user'],
        ['.note span', '.note'],
        ['.banner', '.banner'],
        ['.send.busy, .send', '.send'],
      ] as const) {
        const ratio = await d.contrast(text, ground);
        const required = text.includes('send') ? 3 : 4.5;
        expect(ratio, `${text}, ${colorScheme}`).toBeGreaterThanOrEqual(required);
      }
      await d.done();
    }
  });
});
