// What a token costs a GPU, model by model: dispatches, submits, readbacks, bytes. Prints a Markdown table; counts do not depend on the adapter's speed.
//   node bench/counts.mjs [MODEL_DIR ...]
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const fixtures = readdirSync(join(root, 'test/fixtures/families')).map((f) => join(root, 'test/fixtures/families', f));
const models =
  process.argv.length > 2 ? process.argv.slice(2) : [join(root, 'models/smolmoe-135m-instruct'), ...fixtures];

console.log(
  '| model | layers | dispatches a layer, prefill | decode | submits a token | readbacks | bytes back | bytes up | weight bytes a token |',
);
console.log('|---|---|---|---|---|---|---|---|---|');
for (const model of models) {
  const args = [
    join(root, 'bin/webmoe.mjs'),
    'bench',
    '--model',
    model,
    '--prompt-tokens',
    '12',
    '--decode-tokens',
    '4',
    '--kernels',
    'gpu',
    '--json',
  ];
  const run = spawnSync(process.execPath, args, { encoding: 'utf8' });
  if (run.status !== 0) {
    console.error(run.stderr);
    process.exit(1);
  }
  const { layers, prefill, decode } = JSON.parse(run.stdout);
  const outside = 3; // embedding, head, sampling
  const perLayer = (dispatches) => ((dispatches - outside) / layers).toFixed(2);
  console.log(
    `| ${basename(model)} | ${layers} | ${perLayer(prefill.dispatches)} | ${perLayer(decode.dispatchesPerToken)} | ${decode.submitsPerToken} | ${decode.readbacksPerToken} | ` +
      `${decode.readbackBytesPerToken} | ${decode.uploadBytesPerToken} | ${decode.weightBytesPerToken} |`,
  );
}
