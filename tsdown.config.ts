import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build, defineConfig, type InlineConfig, type UserConfig } from 'tsdown';
import { litWithoutDom, minifiedTemplates } from './scripts/lit-build.mjs';
import { minifiedShaders } from './scripts/minify-wgsl.mjs';

const shared: UserConfig = {
  format: 'esm',
  platform: 'neutral',
  target: 'es2022',
  deps: { neverBundle: [/^node:/, 'webgpu'] },
  plugins: [minifiedShaders],
};

/** A build of its own, so that the file imports nothing: then it works in every bundler, as a module and as a classic script. */
const script = (name: string, source: string): UserConfig => ({
  ...shared,
  entry: { [name]: source },
  deps: { alwaysBundle: [/./] },
  dts: false,
  clean: false,
});
/** Nothing bundles it again, so it is published minified. */
const worker: UserConfig = { ...script('worker', 'src/worker.ts'), dts: { sourcemap: false }, minify: true };

/** Of a few hundred bytes each, wanted by two views or three: as files of their own they would cost more in requests than in bytes. */
const SMALL =
  /\/src\/(viz\/(lacks|beside-chance|route|figures\/(order|gate-bars|token-list|several))|trace\/stats\/(repetition|popularity|coactivation|difference))\.ts$/;

/**
 * The views with all that they need, minified: a page without a bundler loads the files as they are. Apart from the other entries, so that
 * their shared chunks hold nothing of it; a view's code is a chunk that its element loads.
 */
const viz: UserConfig = {
  ...shared,
  entry: { viz: 'src/viz/index.ts' },
  deps: { alwaysBundle: [/./] },
  dts: { sourcemap: false },
  clean: false,
  minify: true,
  plugins: [litWithoutDom, minifiedTemplates],
  inputOptions: { resolve: { conditionNames: ['node', 'import', 'default'], mainFields: ['module', 'main'] } },
  outputOptions: {
    chunkFileNames: 'viz-[name]-[hash].js',
    // What many views share is one file, for fewer requests; apart from it, what their elements need before a view's code comes.
    codeSplitting: {
      groups: [
        {
          name: 'element',
          test: /\/node_modules\/(@lit|lit[\w-]*)\/|\/src\/(trace\/trace|viz\/(words|places|table|export))\.ts$/,
          priority: 1,
        },
        { name: 'small', test: SMALL, minShareCount: 2 },
        { name: 'figures', test: /\/src\/(viz\/figures|trace\/stats)\//, minShareCount: 4 },
      ],
    },
  },
};

/** The built worker as a text. */
async function workerCode(): Promise<string> {
  const outDir = mkdtempSync(join(tmpdir(), 'webmoe-worker-'));
  await build({ ...worker, dts: false, outDir, logLevel: 'silent', config: false } as InlineConfig);
  const code = readFileSync(join(outDir, 'worker.js'), 'utf8');
  rmSync(outDir, { recursive: true });
  return code;
}

export default defineConfig([
  {
    ...shared,
    entry: {
      index: 'src/index.ts',
      'worker-inline': 'src/worker-inline.ts',
      node: 'src/node.ts',
      trace: 'src/trace/index.ts',
      layer: 'src/layer/index.ts',
      'ai-sdk': 'src/ai-sdk/index.ts',
      testing: 'src/testing.ts',
      cli: 'src/cli/main.ts',
    },
    dts: { sourcemap: false },
    clean: true,
    plugins: [
      minifiedShaders,
      {
        // Vite resolves the workers' sources; beside the built files lie their builds.
        name: 'built-workers',
        transform: (code, id) =>
          id.endsWith('start-worker.ts')
            ? code.replace(/new URL\((['"])[./]*\/([\w-]+)\.ts\1/, 'new URL($1./$2.js$1')
            : null,
      },
      {
        name: 'inline-worker',
        load: async (id) =>
          id.endsWith('src/worker-inline.ts') ? `export default ${JSON.stringify(await workerCode())};` : null,
      },
    ],
  },
  script('opfs-worker', 'src/weights/records/opfs-worker.ts'),
  worker,
  viz,
]);
