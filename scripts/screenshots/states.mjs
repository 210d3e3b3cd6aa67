// Every state of the page: how it is reached. `whole` shows all of a view that scrolls.
const WEIGHTS = {
  phase: 'weights',
  loadedBytes: 58.2e6,
  totalBytes: 129e6,
  bytesPerSecond: 12.4e6,
  remainingSeconds: 5.7,
};
const PARAGRAPH =
  'A mixture of experts has many small networks in each layer, and a router that sends every token to the few that suit it best. So it knows as much as a large model and costs as little as a small one. ';

/** Three conversations, the last of them open. */
async function conversations(s) {
  await s.turn('What is the capital of France?', 'Paris.');
  await s.press('New chat');
  await s.turn('How does a router choose its experts, and what happens when one is not on the card?', PARAGRAPH);
  await s.press('New chat');
  await s.turn(
    'Explain gravity to a child in two sentences.',
    'Things pull each other. The Earth is big, so it pulls you down.',
  );
}

/** Tokens that hit more and more often. */
async function tokens(s, count = 40) {
  for (let n = 0; n < count; n++) await s.store('token', { hits: 8 + (n % 7) + (n > 20 ? 2 : 0), ms: 90, stallMs: 25 });
}

async function serveModels(page) {
  const headers = { 'access-control-allow-origin': '*', 'access-control-allow-headers': '*' };
  const line = (fields) => `data: ${JSON.stringify(fields)}\n\n`;
  const body =
    line({ choices: [{ index: 0, delta: { content: 'From a server, far away.' }, finish_reason: 'stop' }] }) +
    line({ choices: [], usage: { prompt_tokens: 9, completion_tokens: 6, total_tokens: 15 } }) +
    'data: [DONE]\n\n';
  await page.route('https://ai.example/**', (route) =>
    route.request().url().endsWith('/models')
      ? route.fulfill({ headers, json: { data: [{ id: 'large-moe' }, { id: 'small-moe' }] } })
      : route.fulfill({ headers, contentType: 'text/event-stream', body }),
  );
}

async function connect(s) {
  await serveModels(s.page);
  await s.page.getByText('Let a server answer instead').first().click();
  await s.page.getByLabel('Address of the server').fill('https://ai.example/v1');
  await s.press('Connect');
  await s.page.getByLabel('Model', { exact: true }).waitFor();
}

const modal = (s) => s.page.locator('dialog[open]').waitFor();
const problem = (kind) => (s) => s.failedLoad(kind);

/** @type {Record<string, { query?: string, whole?: boolean, offline?: boolean, run?: (s: import('./scene.mjs').Scene, text: { rich: string }) => Promise<unknown> }>} */
export const STATES = {
  start: { query: '?storage', whole: true },
  'start-software': { query: '?storage&software' },
  'start-memory': { query: '?store&storage' },
  'start-access': {
    query: '?storage',
    whole: true,
    run: async (s) => {
      await s.page.getByText('Access token, another Hub').click();
      await s.page.locator('.sum summary').first().click();
      await s.page.getByLabel(/^Any model on the Hub/).fill('not a model');
      await s.press('Look at it');
    },
  },
  consent: {
    query: '?storage',
    run: async (s) => {
      await s.press('Choose OLMoE 1B-7B Instruct');
      await s.page.locator('[data-fact=keeping]').filter({ hasText: 'kept' }).waitFor();
    },
  },
  loading: {
    query: '?storage',
    run: async (s) => {
      await s.loading();
      await s.fake('progress', WEIGHTS);
    },
  },
  paused: {
    query: '?storage',
    run: async (s) => {
      await s.loading();
      await s.fake('progress', WEIGHTS);
      await s.press('Pause');
      await s.page.getByText('Paused.').waitFor();
    },
  },
  offline: {
    query: '?storage',
    run: async (s) => {
      await s.loading();
      await s.fake('progress', WEIGHTS);
      await s.page.context().setOffline(true);
      await s.fake('failLoad', 'source');
      await s.page.getByText('No connection.').first().waitFor();
    },
  },
  'chat-empty': { query: '?storage', run: (s) => s.chat() },
  'chat-reading': {
    query: '?storage',
    run: async (s) => {
      await s.chat();
      await s.send('What is the capital of France?');
      await s.page.getByText('Reading your message').waitFor();
    },
  },
  'chat-running': {
    query: '?store&storage',
    run: async (s) => {
      await s.chat();
      await s.turn('What is a mixture of experts?', PARAGRAPH.repeat(2));
      await s.send('And why does that help in a browser?');
      await tokens(s);
      await s.fake('say', 'Because only a few experts are needed for a word, **the others** can wait on the');
      await s.page.getByText('can wait on the').waitFor();
    },
  },
  'chat-text': {
    run: async (s, { rich }) => {
      await s.chat();
      await s.turn('Show me everything.', rich);
      await s.page.locator('math').first().waitFor();
      await s.page.locator('.log').evaluate((log) => log.scrollTo(0, 0));
    },
  },
  'chat-text-end': {
    run: async (s, { rich }) => {
      await s.chat();
      await s.turn('Show me everything.', rich);
      await s.page.locator('math').first().waitFor();
    },
  },
  'chat-branches': {
    run: async (s) => {
      await s.chat();
      await s.turn('Name a colour.', 'Red.');
      await s.tool('Red.', 'Regenerate');
      await s.fake('say', 'Green, the colour of leaves.');
      await s.fake('end', {});
      await s.settled();
      await s.tool('Green', 'Figures');
      await s.tool('Name a colour.', 'Edit');
    },
  },
  'chat-stopped': {
    run: async (s) => {
      await s.chat();
      await s.turn('Count.', 'One, two, three', { finishReason: 'length' });
      await s.send('Go on.');
      await s.fake('say', 'Four, five');
      await s.page.getByText('Four, five').waitFor();
      await s.page.keyboard.press('Escape');
      await s.settled();
    },
  },
  'chat-error': {
    run: async (s) => {
      await s.chat();
      await s.turn('Hello?', 'Hello.');
      await s.send('And now?');
      await s.fake('fail', 'fault');
      await s.page.getByRole('alert').first().waitFor();
    },
  },
  'chat-full': {
    run: async (s) => {
      await s.chat();
      await s.send('A very long question');
      await s.fake('fail', 'full');
      await s.page.getByRole('alert').first().waitFor();
    },
  },
  'chat-experts': {
    query: '?store&storage',
    run: async (s) => {
      await s.chat();
      await s.store('change', {
        steps: 40,
        hitRate: 0.8,
        recentHitRate: 0.85,
        stallMs: 900,
        bytes: { memory: 1.2e9, disk: 3.4e9, network: 0 },
        storage: {
          kind: 'memory',
          note: 'This browser offers no storage here, so experts are kept in this tab’s memory only.',
        },
        download: { loadedBytes: 4e9, totalBytes: 12.7e9 },
      });
      await tokens(s);
      await s.press('Details');
      await s.page.waitForTimeout(1200);
    },
  },
  'chat-memory': {
    query: '?store&storage',
    run: async (s) => {
      await s.chat();
      await s.press('Graphics memory');
    },
  },
  conversations: {
    query: '?storage',
    run: async (s) => {
      await s.chat();
      await conversations(s);
      if (!(await s.page.locator('.conversations').isVisible())) await s.press('Conversations');
      await s.page.locator('.row').first().waitFor();
      await s.page.locator('.more-button').first().click({ force: true });
    },
  },
  search: {
    query: '?storage',
    run: async (s) => {
      await s.chat();
      await conversations(s);
      if (!(await s.page.locator('.conversations').isVisible())) await s.press('Conversations');
      await s.page.getByRole('searchbox').fill('router');
      await s.page.locator('.conversations mark').first().waitFor();
    },
  },
  settings: {
    run: async (s) => {
      await s.chat();
      await s.press('Settings of this conversation');
      await s.page.getByLabel('Temperature').fill('9');
    },
  },
  storage: {
    query: '?storage',
    run: async (s) => {
      await s.press('Stored models');
      await modal(s);
    },
  },
  'storage-empty': {
    query: '?storage=empty',
    run: async (s) => {
      await s.press('Stored models');
      await modal(s);
    },
  },
  share: {
    run: async (s) => {
      await s.chat();
      await s.turn('What is the capital of France?', 'Paris.');
      await s.tool('Paris.', 'Share');
      await modal(s);
    },
  },
  shared: {
    run: async (s) => {
      await s.chat();
      await s.turn('What is the capital of France?', 'Paris.');
      await s.tool('Paris.', 'Share');
      const { hash } = new URL(await s.page.getByLabel('Link').inputValue());
      await s.page.keyboard.press('Escape');
      await s.page.evaluate((to) => (globalThis.location.hash = to), hash);
      await s.page.getByText('This link brings a question').waitFor();
    },
  },
  keys: {
    run: async (s) => {
      await s.chat();
      await s.page.locator('.log').focus();
      await s.page.keyboard.press('?');
      await modal(s);
    },
  },
  toast: {
    run: async (s) => {
      await s.chat();
      await s.turn('Hello?', 'Hello.');
      await s.tool('Hello.', 'Delete');
      await s.button('Undo').waitFor();
    },
  },
  'remote-form': { query: '?unsupported', whole: true, run: connect },
  remote: {
    query: '?unsupported',
    run: async (s) => {
      await connect(s);
      await s.press('Chat with it');
      await s.send('Where are you?');
      await s.settled();
    },
  },
  'problem-no-webgpu': { query: '?unsupported', whole: true },
  'problem-no-adapter': { query: '?unsupported=no-adapter', whole: true },
  'problem-insecure': { query: '?unsupported=insecure-context', whole: true },
  'problem-limit': { query: '?unsupported=limit', whole: true },
  'problem-source': { whole: true, run: problem('source') },
  'problem-unsupported': { whole: true, run: problem('unsupported') },
  'problem-memory': { whole: true, run: problem('out-of-budget') },
  'problem-card': { whole: true, run: problem('limit') },
  'problem-fault': {
    whole: true,
    run: async (s) => {
      await s.failedLoad('fault');
      await s.page.locator('.diagnostics summary').click();
    },
  },
  rebuilding: {
    run: async (s) => {
      await s.chat();
      await s.send('What is the capital of France?');
      await s.fake('say', 'The capital of ');
      await s.fake('recover', 'rebuilding', 2);
      await s.page.locator('p.notice').waitFor();
    },
  },
  lost: {
    whole: true,
    run: async (s) => {
      await s.chat();
      await s.turn('Hello?', 'Hello.');
      await s.fake('lose', 'unknown', 'Device hung.');
      await s.page.locator('.problem').waitFor();
    },
  },
  'lost-again': {
    whole: true,
    run: async (s) => {
      await s.chat();
      await s.fake('lose', 'unknown', '');
      await s.press('Reload the model');
      await s.fake('finishLoad');
      await s.page.locator('.chat').waitFor();
      await s.fake('lose', 'unknown', '');
      await s.page.locator('.problem').waitFor();
    },
  },
};
