import { checkSupport, load, openStorage, plan } from '../src/index.ts';
import { App } from './app.ts';
import { keepShell } from './offline/shell.ts';
import { readOptions } from './options.ts';

const root = document.getElementById('app');
if (root) {
  const storage = await openStorage();
  const start: typeof load = (source, options) => load(source, { ...options, start: 'auto' });
  // With what earlier visits kept of the model's description: it is planned without a network, too.
  const planKept: typeof plan = (source, options) => plan(source, { ...options, storage });
  const app = new App(
    root,
    { checkSupport, load: start, plan: planKept, storage: storage.models },
    readOptions(location.search, document.baseURI),
  );
  void app.start();
  void keepShell({ onUpdate: (reload) => app.offerUpdate(reload) });
}
