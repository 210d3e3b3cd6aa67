import { defineConfig, type Plugin } from 'vite';
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
  plugins: [models, offlineShell],
  server: { host: '127.0.0.1', fs: { allow: ['..'] } },
  build: { target: 'es2022', modulePreload: { polyfill: false }, emptyOutDir: true },
});
