import { checkSupport, load, plan } from '../src/index.ts';
import { App } from './app.ts';
import { readOptions } from './options.ts';

const root = document.getElementById('app');
if (root) void new App(root, { checkSupport, load, plan }, readOptions(location.search, document.baseURI)).start();
