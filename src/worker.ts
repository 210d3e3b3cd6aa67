/** The script of the engine's worker. Its build imports nothing, so that it runs as a module and as a classic script. */
import { serveWorker } from './surface/worker/serve.ts';

serveWorker();
