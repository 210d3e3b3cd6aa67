import { serveWorker } from '../../../src/surface/worker/serve.ts';
import { countHere } from './count-gpu.ts';

countHere();
serveWorker();
