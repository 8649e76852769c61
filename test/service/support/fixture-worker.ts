/** A thread that says that it is not ready yet, and is when it is told. */
import { parentPort } from 'node:worker_threads';

parentPort?.postMessage({ kind: 'waiting' });
parentPort?.once('message', () => parentPort?.postMessage({ kind: 'ready' }));
