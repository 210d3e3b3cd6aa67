// Serves the built page at / and the models at /models/. Alone: node scripts/serve.mjs (PORT, HOST).
import { createServer } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sirv from 'sirv';
import { headerPolicy } from './csp.mjs';
import { modelFiles } from './model-files.mjs';
import { root } from './setup.mjs';

const FIRST_PORT = 4173;
const PORTS_TO_TRY = 20;

const HEADERS = {
  'Content-Security-Policy': headerPolicy,
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Resource-Policy': 'same-origin',
};

export function requestHandler({ dist, models }) {
  // `dev`: looks at the disk on every request, so that a new build is seen; the browser revalidates by ETag.
  const page = sirv(dist, { dev: true, etag: true });
  const model = modelFiles(models);
  return (request, response) => {
    for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.writeHead(405, { Allow: 'GET, HEAD' }).end();
      return;
    }
    const notFound = () => response.writeHead(404, { 'Content-Type': 'text/plain' }).end('Not found\n');
    if (request.url.startsWith('/models/')) {
      request.url = request.url.slice('/models'.length);
      void model(request, response, notFound);
    } else page(request, response, notFound);
  };
}

const listen = (server, port, host) =>
  new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve(server.address().port);
    });
  });

/**
 * Without `port`: the first free one from 4173.
 * @returns the port, and a function that ends the server and its connections
 */
export async function serve({
  dist = join(root, 'demo/dist'),
  models = join(root, 'models'),
  host = process.env.HOST ?? '127.0.0.1',
  port = process.env.PORT ? Number(process.env.PORT) : undefined,
} = {}) {
  const server = createServer(requestHandler({ dist, models }));
  const close = () =>
    new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  const last = port ?? FIRST_PORT + PORTS_TO_TRY - 1;
  for (let at = port ?? FIRST_PORT; ; at++) {
    try {
      return { port: await listen(server, at, host), host, close };
    } catch (error) {
      if (error.code === 'EADDRINUSE' && at < last) continue;
      if (error.code === 'EADDRINUSE') {
        const ports = port === undefined ? `Ports ${FIRST_PORT} to ${last} are` : `Port ${at} is`;
        throw new Error(`${ports} taken by another program: set PORT to a free one`, { cause: error });
      }
      throw new Error(`Cannot listen on ${host}, port ${at}: ${error.message}`, { cause: error });
    }
  }
}

/** Serves until SIGINT or SIGTERM. */
export async function serveUntilSignal() {
  let served;
  try {
    served = await serve();
  } catch (error) {
    console.error(error.message);
    process.exit(1);
  }
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.once(signal, () => void served.close().then(() => process.exit(0)));
  }
  const name = ['127.0.0.1', '0.0.0.0', '::'].includes(served.host) ? 'localhost' : served.host;
  console.log(`webmoe is at http://${name}:${served.port}/`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await serveUntilSignal();
