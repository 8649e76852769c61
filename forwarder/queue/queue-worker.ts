/** The queue thread: owns the queue's file, and serves the main thread's requests in order. */
import { parentPort, workerData } from 'node:worker_threads';
import { trimMemoryAfterStart } from '../../service/process/memory-trim.ts';
import type { QueueRequest, QueueWorkerData } from './queue-messages.ts';
import { QueueThread } from './queue-thread.ts';

if (parentPort === null) throw new Error('queue-worker runs as a worker thread only');
const thread = new QueueThread(workerData as QueueWorkerData, parentPort);
process.once('uncaughtException', (error) => {
  thread.close();
  // Without a handler now: the main thread receives it as the worker's 'error'.
  setImmediate(() => {
    throw error;
  });
});
if (await thread.start()) {
  parentPort.on('message', (request: QueueRequest) => thread.handle(request));
  trimMemoryAfterStart();
}
