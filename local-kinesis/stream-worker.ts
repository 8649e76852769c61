/** The thread that owns the stream's file and its HTTP server: a slow disk never blocks MQTT, BLE or the admin API. */
import { parentPort, workerData } from 'node:worker_threads';
import { messageOf, systemCodeOf } from '../service/errors/errors.ts';
import { trimMemoryAfterStart } from '../service/process/memory-trim.ts';
import { Faults } from './faults.ts';
import { GroupCommit } from './group-commit.ts';
import { Operations } from './operations.ts';
import { momentNow } from './retention.ts';
import { StreamServer } from './server.ts';
import { Store } from './store.ts';

export interface StreamWorkerData {
  file: string;
  host: string;
  port: number;
  stream: string;
  enforceLimits: boolean;
  faultHooks: boolean;
}
export type StreamWorkerMessage =
  | { kind: 'listening'; port: number }
  | { kind: 'failed'; code: string | undefined; message: string }
  | { kind: 'error'; message: string }
  | { kind: 'stopped' };

const TRIM_EVERY_MS = 60_000;
const port = parentPort;
if (port === null) throw new Error('stream-worker runs as a worker thread only');
const data = workerData as StreamWorkerData;
const post = (message: StreamWorkerMessage): void => port.postMessage(message);

const store = new Store(data.file);
const faults = new Faults();
const operations = new Operations({ store, commit: new GroupCommit(store), faults, enforceLimits: data.enforceLimits });
const server = new StreamServer({
  operations,
  faults,
  faultHooks: data.faultHooks,
  onError: (error) => post({ kind: 'error', message: messageOf(error) }),
});

try {
  store.open();
  if (!store.hasStream(data.stream)) store.createStream(data.stream, 1);
  store.trim(momentNow());
  await server.listen(data.host, data.port);
  const trim = setInterval(() => {
    try {
      store.trim(momentNow());
    } catch (error) {
      post({ kind: 'error', message: messageOf(error) });
    }
  }, TRIM_EVERY_MS);
  port.once('message', () => {
    clearInterval(trim);
    void server.close().then(() => {
      store.close();
      post({ kind: 'stopped' });
      port.close();
    });
  });
  post({ kind: 'listening', port: server.port });
  trimMemoryAfterStart();
} catch (error) {
  store.close();
  post({ kind: 'failed', code: systemCodeOf(error), message: messageOf(error) });
}
