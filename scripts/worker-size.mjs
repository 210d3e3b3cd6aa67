// node scripts/worker-size.mjs: what the worker's script is made of, as a Markdown table. A part's gzip is its share: that of its own code alone, scaled so that all add up to the whole.
import { SourceMap } from 'node:module';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'vite';
import { minifiedShaders } from './minify-wgsl.mjs';
import { root } from './setup.mjs';

/** The first that a source's path contains. */
const PARTS = [
  ['shaders (WGSL)', 'src/gpu/shaders.gen.ts'],
  ['template engine, from npm', 'node_modules/@huggingface/jinja'],
  ['tokenizer, from npm', 'node_modules/@huggingface/tokenizers'],
  ['tokenizer files checked, byte-exact decoding, stop strings', 'src/text/', ['grammar', 'template/']],
  ['templates within bounds', 'src/text/template/'],
  ['constrained output: JSON schemas, patterns, token masks', 'src/text/grammar/'],
  ['published weight formats', 'src/weights/formats/'],
  ['experts kept on disk, their records', 'src/weights/records/'],
  ['models on a Hub', 'src/weights/hub/'],
  ['GGUF: one file as a folder', 'src/weights/gguf/'],
  ['safetensors, files, HTTP', 'src/weights/'],
  ['model families, configs', 'src/families/'],
  ['model families, configs', 'src/config/'],
  ['kernels, layers, GPU', 'src/kernels/'],
  ['kernels, layers, GPU', 'src/gpu/'],
  ['kernels, layers, GPU', 'src/layers/'],
  ['expert store, cache policies, their replay', 'src/moe/'],
  ['expert store, cache policies, their replay', 'src/policy/'],
  ['expert store, cache policies, their replay', 'src/trace/'],
  ['engine: plan, load, generate, recover, report', 'src/engine/'],
  ['worker protocol, errors', 'src/'],
];
/** As src/errors.ts and its callers write them: sentences in template strings. */
const SENTENCE = /`(?:[^`\\]|\\.)*`/g;

const gzipped = (text) => gzipSync(text, { level: 9 }).length;

const partOf = (source) =>
  PARTS.find(
    ([, path, without = []]) => source.includes(path) && !without.some((w) => source.includes(`${path}${w}`)),
  )?.[0];

async function bundled() {
  const { output } = await build({
    configFile: false,
    logLevel: 'error',
    root,
    plugins: [minifiedShaders],
    build: {
      write: false,
      target: 'es2022',
      sourcemap: true,
      modulePreload: false,
      rolldownOptions: {
        input: join(root, 'src/worker.ts'),
        external: [/^node:/, 'webgpu'],
        output: { codeSplitting: false },
      },
    },
  });
  const { code, map } = output.find(({ type }) => type === 'chunk');
  return { code, map };
}

/** The code of each part, character by character. */
function byPart({ code, map }) {
  const places = new SourceMap(map);
  const texts = new Map();
  for (const [line, text] of code.split('\n').entries()) {
    for (let column = 0; column <= text.length; column++) {
      const part = partOf(places.findEntry(line, column).originalSource ?? '') ?? 'worker protocol, errors';
      texts.set(part, (texts.get(part) ?? '') + (text[column] ?? '\n'));
    }
  }
  return texts;
}

const bundle = await bundled();
const total = gzipped(bundle.code);
const parts = [...byPart(bundle)].map(([part, text]) => ({ part, raw: text.length, alone: gzipped(text) }));
const share = total / parts.reduce((sum, { alone }) => sum + alone, 0);
const kB = (bytes) => (bytes / 1000).toFixed(1);
console.log('| part | minified, kB | gzip, kB |\n| --- | ---: | ---: |');
for (const { part, raw, alone } of parts.sort((a, b) => b.alone - a.alone))
  console.log(`| ${part} | ${kB(raw)} | ${kB(alone * share)} |`);
console.log(`| all | ${kB(bundle.code.length)} | ${kB(total)} |`);
const sentences = (bundle.code.match(SENTENCE) ?? []).filter((text) => / \w+ /.test(text) && !text.includes('\n'));
const without = bundle.code.replace(SENTENCE, (text) => (sentences.includes(text) ? '``' : text));
console.log(`\nOf that, ${sentences.length} sentences, most of them errors': ${kB(total - gzipped(without))} kB`);
