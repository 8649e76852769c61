/** Forwarders, each a process with a backlog of its own, that share one shard of the local stream. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { eventually } from '../../../support/eventually.ts';
import { startLocalStream } from '../../../support/local-stream.ts';
import { startProduct } from '../../../support/product-process.ts';
import { tempDir } from '../../../support/temp-dir.ts';
import { appendOf, openFile } from '../../queue/support/queue-files.ts';
import { startCountingFront } from './counting-front.ts';

const SENT_PER_ACCEPTED_MAX = 1.2;

/** Until the shard has `readings` of all boxes together. Returns how long that took, in seconds, from the first accepted record. */
export async function assertLittleInVain(t: TestContext, boxes: number, readings: number): Promise<number> {
  const stream = await startLocalStream(t);
  const front = await startCountingFront(t, stream.endpoint);
  const rows = readings / boxes;
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
  await eventually(() => front.accepted >= readings, { withinMs: 180_000, what: `${readings} readings in the stream` });
  const seconds = (performance.now() - startedAt) / 1000;
  t.diagnostic(
    `${boxes} boxes: sent ÷ accepted ${(front.sent / front.accepted).toFixed(3)}, ${seconds.toFixed(1)} s for ${readings} readings, ` +
      `${front.controlCalls} control calls`,
  );
  for (const forwarder of forwarders) await forwarder.end();
  assert.ok(front.sent / front.accepted <= SENT_PER_ACCEPTED_MAX, `${front.sent} sent, ${front.accepted} accepted`);
  return seconds;
}
