/** The I/O worker in a browser with a fault. */
import { serveOpfs } from '../../../src/weights/records/opfs-server.ts';
import { breakHandles } from './records-faults.ts';

breakHandles();
serveOpfs();
