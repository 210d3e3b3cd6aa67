/** The script of the I/O worker, which start-worker.ts starts. */
import { serveOpfs } from './opfs-server.ts';

serveOpfs();
