/** `webmoe serve`: the model as an OpenAI-compatible server. */
import { createChat } from '../chat/chat.ts';
import { modelSource } from '../chat/model-source.ts';
import { sourceName } from '../engine/model-source.ts';
import { MOST_IN_FLIGHT } from '../engine/serving/sizes.ts';
import { InvalidRequest } from '../errors.ts';
import { ADAPTERS_OPTION, adaptersOf } from './adapters.ts';
import type { OptionSpec, Options } from './args.ts';
import { loadModel, MODEL_OPTIONS, type Output } from './common.ts';
import { isLoopback } from './server/guard.ts';
import { startServer, type RunningServer } from './server/server.ts';

export const SERVE_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  ...MODEL_OPTIONS,
  host: { type: 'text', value: 'HOST', help: 'address to listen on (default 127.0.0.1: this machine only)' },
  port: {
    type: 'whole',
    value: 'N',
    help: 'port to listen on (default 8080; 0: any that is free)',
    min: 0,
    max: 65535,
  },
  'api-key-env': { type: 'text', value: 'NAME', help: 'environment variable with a key that clients must send' },
  cors: { type: 'text', value: 'ORIGIN', help: 'let pages of this origin ask; several with commas; * for all' },
  parallel: {
    type: 'whole',
    value: 'N',
    help: 'requests that are answered together, 1 to 64; all experts must be on the GPU (default 1)',
    min: 1,
    max: MOST_IN_FLIGHT,
  },
  'kv-budget': { type: 'bytes', value: 'BYTES', help: 'GPU memory for their keys and values (default: two contexts)' },
  ...ADAPTERS_OPTION,
  'max-waiting': {
    type: 'whole',
    value: 'N',
    help: 'requests that may wait while others are answered (default 8)',
    min: 0,
  },
  'max-request': { type: 'bytes', value: 'BYTES', help: 'longest request (default 4MB)' },
  grace: { type: 'number', value: 'SECONDS', help: 'for answers under way when stopped (default 10)', min: 0 },
};

/** Shorter than the 15 to 60 s after which clients and proxies give up on a silent connection. */
const KEEP_ALIVE_MS = 5000;

export async function serveCommand(options: Options, out: Output): Promise<void> {
  const stop = new Stop();
  const onSignal = (): void => stop.ask();
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, onSignal);
  try {
    await serve(options, out, stop);
  } finally {
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.off(name, onSignal);
  }
}

/** Asked once, it waits for answers under way; asked again, for nothing. */
export class Stop {
  readonly #asked = new AbortController();
  readonly #now = new AbortController();

  get asked(): AbortSignal {
    return this.#asked.signal;
  }

  get now(): AbortSignal {
    return this.#now.signal;
  }

  ask(): void {
    (this.asked.aborted ? this.#now : this.#asked).abort(new DOMException('interrupted', 'AbortError'));
  }
}

/** @throws InvalidRequest, and whatever loading throws; the reason when stopped while loading */
export async function serve(options: Options, out: Output, stop: Stop): Promise<void> {
  const apiKey = keyOf(options);
  const host = options.text('host') ?? '127.0.0.1';
  const parallel = options.number('parallel') ?? 1;
  const kvBytes = options.number('kv-budget');
  if (parallel === 1 && kvBytes !== undefined)
    throw new InvalidRequest('--kv-budget is for requests that are answered together: give --parallel too');
  const adapters = adaptersOf(options);
  const requests = parallel > 1 ? { inFlight: parallel, kvBytes } : undefined;
  const model = await loadModel(options, out, stop.asked, { requests, adapters });
  try {
    const source = modelSource(model, sourceName(options.text('model')!));
    const server = await startServer({
      chat: createChat(source),
      model: source,
      adapters: model.adapters,
      host,
      port: options.number('port') ?? 8080,
      apiKey,
      origins: (options.text('cors') ?? '').split(',').filter(Boolean),
      atOnce: parallel,
      maxWaiting: options.number('max-waiting') ?? 8,
      maxBodyBytes: options.number('max-request') ?? 4e6,
      keepAliveMs: KEEP_ALIVE_MS,
      log: (line) => out.note(`${line}\n`),
    });
    out.write(`${source.id} answers at ${server.url}/v1\n`);
    if (!isLoopback(host) && apiKey === null)
      out.note('Everybody who reaches this address may ask: give a key with --api-key-env\n');
    await closed(server, stop, 1000 * (options.number('grace') ?? 10));
  } finally {
    await model.dispose();
  }
}

async function closed(server: RunningServer, stop: Stop, graceMs: number): Promise<void> {
  await aborted(stop.asked);
  await Promise.race([server.close(graceMs), aborted(stop.now).then(() => server.close(0))]);
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });

/** Never on the command line itself, where every user of the machine could read it. */
function keyOf(options: Options): string | null {
  const name = options.text('api-key-env');
  if (name === undefined) return null;
  const key = process.env[name]?.trim() ?? '';
  if (key === '') throw new InvalidRequest(`--api-key-env names ${name}, which is empty or not set`, { name });
  return key;
}
