import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startLocalStream } from '../../support/local-stream.ts';
import { startProduct } from '../../support/product-process.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { appendOf, contentsOf, copyOf, openFile } from '../queue/support/queue-files.ts';

const ROWS = 1500;
const LIVES = 4;
/** From the log line that the forwarder has started. Deletes that may wait are not committed in this time. */
const LIFE_MS = 1500;

test('a forwarder that is killed again and again makes progress: what a life shipped is not shipped by each later one', async (t) => {
  const folder = tempDir(t);
  const filled = openFile(folder);
  filled.commit([appendOf(1, ROWS)]);
  filled.close();
  const stream = await startLocalStream(t, { LOCAL_KINESIS_LIMITS: 'false' });
  const left: number[] = [];
  for (let life = 1; life <= LIVES; life += 1) {
    const forwarder = startProduct(t, 'forwarder/main', {
      DATA_DIR: folder,
      GATEWAY_NAME: 'test-box',
      MQTT_URL: 'mqtt://127.0.0.1:9',
      LOCAL_KINESIS_PORT: String(stream.port),
      QUEUE_MIN_FREE_DISK_BYTES: '0',
    });
    await forwarder.event('started');
    await sleep(LIFE_MS);
    assert.equal(await forwarder.end('SIGKILL'), 'SIGKILL');
    left.push(contentsOf(copyOf(folder, path.join(tempDir(t), 'killed'))).rows.length);
  }
  const sent = await stream.readAll();
  // The first start is after an orderly stop, where deletes may wait; each later one deletes what it shipped.
  assert.ok((left.at(-1) ?? ROWS) < ROWS / 2, `rows left after each life: ${left.join(', ')}; ${sent.length} records sent`);
  assert.equal(new Set(sent.map(({ seq }) => seq)).size >= ROWS - (left.at(-1) ?? 0), true);
  assert.ok(sent.length <= 3 * ROWS, `${sent.length} records for ${ROWS} readings`);
});
