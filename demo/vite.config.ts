import sirv from 'sirv';
import { defineConfig, type Plugin } from 'vite';

/** `npm run dev` serves the models too, as scripts/serve.mjs does. */
const models: Plugin = {
  name: 'webmoe-models',
  configureServer: ({ middlewares }) => {
    middlewares.use('/models', sirv('models', { dev: true, etag: true }));
  },
};

export default defineConfig({
  base: './',
  plugins: [models],
  server: { host: '127.0.0.1', fs: { allow: ['..'] } },
  build: { target: 'es2022', modulePreload: { polyfill: false }, emptyOutDir: true },
});
