import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../../support/eventually.ts';
import { startLocalStream } from '../../support/local-stream.ts';
import { startProduct } from '../../support/product-process.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { appendOf, openFile } from '../queue/support/queue-files.ts';
import { startCountingFront } from './support/counting-front.ts';

/** Readings of all boxes together: what the shard takes in a minute. */
const READINGS = 60_000;

for (const boxes of [10, 20])
  test(`${boxes} forwarders that share one shard send little in vain, and nearly fill it`, async (t) => {
    const stream = await startLocalStream(t);
    const front = await startCountingFront(t, stream.endpoint);
    const rows = READINGS / boxes;
    const forwarders = Array.from({ length: boxes }, (_, index) => {
      const folder = tempDir(t);
      const filled = openFile(folder);
      for (let from = 1; from <= rows; from += 1000) filled.commit([appendOf(from, Math.min(1000, rows - from + 1))]);
      filled.close();
      return startProduct(t, 'forwarder/main', {
        DATA_DIR: folder,
        GATEWAY_NAME: `box-${index}`,
        MQTT_URL: 'mqtt://127.0.0.1:9',
        KINESIS_TARGET: front.endpoint,
        AWS_REGION: 'us-east-1',
        AWS_ACCESS_KEY_ID: 'test',
        AWS_SECRET_ACCESS_KEY: 'test',
        QUEUE_MIN_FREE_DISK_BYTES: '0',
      });
    });
    await eventually(() => front.accepted > 0, { withinMs: 120_000, what: forwarders[0]?.output() ?? '' });
    const startedAt = performance.now();
    await eventually(() => front.accepted >= READINGS, { withinMs: 180_000, what: `${front.accepted} of ${READINGS} readings` });
    const seconds = (performance.now() - startedAt) / 1000;
    t.diagnostic(
      `sent ÷ accepted ${(front.sent / front.accepted).toFixed(3)}, ${seconds.toFixed(1)} s for ${READINGS} readings, ` +
        `${front.controlCalls} control calls`,
    );
    for (const forwarder of forwarders) await forwarder.end();
    assert.ok(front.sent / front.accepted <= 1.2, `${front.sent} sent, ${front.accepted} accepted`);
    // A burst of one second, and the shard's limit; nearly full, although the processes do not start at the same moment.
    assert.ok(seconds <= (1.3 * READINGS) / 1000, `${seconds} s`);
  });
