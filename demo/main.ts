import { checkSupport, load, openStorage, plan } from '../src/index.ts';
import { App } from './app.ts';
import { readOptions } from './options.ts';

const root = document.getElementById('app');
if (root) {
  const { models: storage } = await openStorage();
  const start: typeof load = (source, options) => load(source, { ...options, start: 'auto' });
  void new App(
    root,
    { checkSupport, load: start, plan, storage },
    readOptions(location.search, document.baseURI),
  ).start();
}
