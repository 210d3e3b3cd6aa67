/** `webmoe pack`: makes a model's records ahead of time, so that a later start reads them instead of the checkpoint. */
import { InvalidRequest } from '../errors.ts';
import { diskStorage } from '../node.ts';
import type { WeightsOption } from '../engine/precision.ts';
import type { OptionSpec, Options } from './args.ts';
import { modelSource, SOURCE_OPTIONS } from './model-source.ts';
import { formatBytes, progressLine, type Output } from './common.ts';
import { load } from './load-engine.ts';

export const PACK_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  ...SOURCE_OPTIONS,
  out: {
    type: 'text',
    value: 'DIR',
    help: 'folder for the records; give it to other commands as --cache',
    required: true,
  },
  weights: {
    type: 'choice',
    value: 'W',
    help: 'auto (default), as-is, q8 or q4: must be what later starts ask for',
    choices: ['auto', 'as-is', 'q8', 'q4'],
  },
  'gpu-budget': { type: 'bytes', value: 'BYTES', help: 'GPU memory that decides what auto chooses (default 6 GiB)' },
  'disk-budget': {
    type: 'bytes',
    value: 'BYTES',
    help: 'stop at so much on disk; the most popular experts come first',
  },
};

/** How often progress is shown. */
const EVERY_MS = 200;

export async function packCommand(options: Options, out: Output): Promise<void> {
  const source = options.positionals[0];
  if (source === undefined) throw new InvalidRequest('say which model to pack: a folder, a URL or a Hub id', {});
  const storage = diskStorage(options.text('out')!);
  const abort = new AbortController();
  const interrupt = (): void => abort.abort(new DOMException('interrupted', 'AbortError'));
  process.once('SIGINT', interrupt);
  const line = (text: string): void => void (out.isTerminal && out.note(`\r\x1b[K${text}`));
  const model = await load(modelSource(source, options), {
    weights: options.text('weights') as WeightsOption | undefined,
    gpuBytes: options.number('gpu-budget'),
    diskBytes: options.number('disk-budget'),
    contextLength: 1,
    start: 'early',
    storage,
    signal: abort.signal,
    onProgress: (p) => line(progressLine(p)),
  });
  const timer = setInterval(() => {
    const download = model.expertStats()?.download;
    if (download) line(`experts: ${formatBytes(download.loadedBytes)} of ${formatBytes(download.totalBytes)}`);
  }, EVERY_MS);
  try {
    const stopped = new Promise<void>((resolve) => abort.signal.addEventListener('abort', () => resolve()));
    await Promise.race([model.settled(), stopped]);
    const stats = model.expertStats();
    line('');
    const { kept } = model;
    if (!kept) throw new InvalidRequest(stats?.storage.note ?? 'nothing could be kept', {});
    out.write(
      `${formatBytes(kept.presentBytes)} of ${formatBytes(kept.totalBytes)} in ${options.text('out')!}${kept.isComplete ? '' : '; the rest is made when it is needed'}\n`,
    );
    if (stats?.storage.note) out.note(`${stats.storage.note}\n`);
  } finally {
    clearInterval(timer);
    process.off('SIGINT', interrupt);
    await model.dispose();
  }
}
