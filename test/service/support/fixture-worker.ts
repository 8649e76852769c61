/** A thread that first reports that it is not ready, and becomes ready on request. */
import { parentPort } from 'node:worker_threads';

parentPort?.postMessage({ kind: 'waiting' });
parentPort?.once('message', () => parentPort?.postMessage({ kind: 'ready' }));
