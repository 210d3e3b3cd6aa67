import { resolve } from 'node:path';
import { defineConfig, type Plugin } from 'vite';
import { minifiedShaders } from '../scripts/minify-wgsl.mjs';
import { modelFiles } from '../scripts/model-files.mjs';
import { offlineShell } from './offline/plugin.ts';

/** `npm run dev` serves the models too, as scripts/serve.mjs does. */
const models: Plugin = {
  name: 'webmoe-models',
  configureServer: ({ middlewares }) => {
    const serve = modelFiles('models');
    middlewares.use('/models', (request, response, next) => void serve(request, response, next));
  },
};

export default defineConfig({
  base: './',
  plugins: [models, minifiedShaders, offlineShell],
  worker: { plugins: () => [minifiedShaders] },
  server: { host: '127.0.0.1', fs: { allow: ['..'] } },
  build: {
    target: 'es2022',
    modulePreload: { polyfill: false },
    emptyOutDir: true,
    rolldownOptions: {
      input: ['demo/index.html', 'demo/visualiser/index.html'].map((page) => resolve(import.meta.dirname, '..', page)),
    },
  },
});
