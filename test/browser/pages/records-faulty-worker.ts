/** The I/O worker in a browser with a fault. Imports run in this order. */
import './records-faults.ts';
import '../../../src/weights/records/opfs-worker.ts';
