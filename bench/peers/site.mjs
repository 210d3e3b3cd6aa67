// The pages of all engines, built, with the models and the installed peers beside them; says what was sent.
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sirv from 'sirv';
import { build } from 'vite';

const pages = join(dirname(fileURLToPath(import.meta.url)), 'pages');
/** wllama's threads need a page that shares nothing with others. */
const HEADERS = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cache-Control': 'no-store',
};
const CODE = /\.(html|m?js|wasm)$/;

/**
 * @param engines whose pages are built
 * @param folders served, by the name that their addresses begin with
 * @returns address; `sent()`: bytes since it was last asked, of code and of the rest; close
 */
export async function openSite(engines, folders) {
  const dist = mkdtempSync(join(tmpdir(), 'webmoe-peers-'));
  const input = engines.map((name) => join(pages, `${name}.html`));
  await build({
    root: pages,
    configFile: false,
    base: './',
    logLevel: 'warn',
    worker: { format: 'es' },
    build: { outDir: dist, emptyOutDir: true, target: 'es2022', rolldownOptions: { input } },
  });
  const places = { '': sirv(dist) };
  for (const [name, folder] of Object.entries(folders)) places[name] = sirv(folder, { dev: true });
  let sent = { code: 0, model: 0 };
  const server = createServer((request, response) => {
    const path = new URL(request.url, 'http://localhost').pathname;
    const start = request.socket.bytesWritten;
    response.on('close', () => (sent[CODE.test(path) ? 'code' : 'model'] += request.socket.bytesWritten - start));
    for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
    const name = path.split('/')[1];
    const isFolder = name in folders;
    if (isFolder) request.url = path.slice(name.length + 1);
    places[isFolder ? name : ''](request, response, () => response.writeHead(404).end());
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    address: `http://localhost:${server.address().port}`,
    sent: () => {
      const taken = sent;
      sent = { code: 0, model: 0 };
      return taken;
    },
    close: () => {
      server.close();
      server.closeAllConnections();
      rmSync(dist, { recursive: true, force: true });
    },
  };
}
