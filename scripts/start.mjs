// npm start: installs what is missing, builds the chat page, serves it with the model in models/.
import { ensurePackages, mustRun } from './setup.mjs';

ensurePackages();
mustRun(process.execPath, ['scripts/wgsl.mjs'], 'Gathering the shaders');
mustRun('npx', ['--no-install', 'vite', 'build', 'demo', '--logLevel', 'warn'], 'Building the page');
// Not at the top: it needs a package that may just have been installed.
const { serveUntilSignal } = await import('./serve.mjs');
await serveUntilSignal();
