import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clockAheadOf } from '../../../forwarder/sink/clock-check.ts';
import { KinesisSink } from '../../../forwarder/sink/kinesis-sink.ts';
import { startLocalStream } from '../../support/local-stream.ts';
import { testConfig, testLog } from '../../support/test-config.ts';

/** An answer that was written `atMs` after the request was sent, by a clock that this box is `aheadMs` ahead of. */
function measured(aheadMs: number, sentMs: number, { atMs, takesMs }: { atMs: number; takesMs: number }): number | undefined {
  const date = new Date(sentMs + atMs - aheadMs).toUTCString();
  return clockAheadOf({ sentMs, receivedMs: sentMs + takesMs, date });
}

test('a box whose clock is right is 0 ms ahead, at every part of a second and however long the request takes', () => {
  const second = Date.parse('2026-11-30T10:00:00.000Z');
  for (let phase = 0; phase < 1000; phase += 1)
    for (const takesMs of [0, 1, 500, 999, 1000, 9000])
      for (const atMs of [0, takesMs / 2, takesMs])
        assert.equal(measured(0, second + phase, { atMs, takesMs }), 0, `${phase} ms, ${atMs} of ${takesMs} ms`);
});

test('a wrong clock is measured to within a second and the time of the request, never as more wrong than it is', () => {
  const second = Date.parse('2026-11-30T10:00:00.000Z');
  for (const aheadMs of [-3_600_000, -5000, -1500, 1500, 5000, 3_600_000])
    for (let phase = 0; phase < 1000; phase += 13)
      for (const atMs of [0, 100, 200]) {
        const value = measured(aheadMs, second + phase, { atMs, takesMs: 200 }) ?? Number.NaN;
        assert.ok(
          Math.abs(value) <= Math.abs(aheadMs) && Math.abs(value - aheadMs) <= 1200 && value * aheadMs >= 0,
          `${aheadMs} ms ahead is measured as ${value}`,
        );
      }
});

test('without a date nothing is measured', () => {
  for (const date of [undefined, '', 'now']) assert.equal(clockAheadOf({ sentMs: 0, receivedMs: 1, date }), undefined);
});

test('a stream whose clock is an hour ahead shows this box an hour behind; one with the same clock shows 0', async (t) => {
  const stream = await startLocalStream(t);
  const config = testConfig({ KINESIS_TARGET: 'local', LOCAL_KINESIS_PORT: String(stream.port) });
  const sink = new KinesisSink(config, testLog(config));
  t.after(() => sink.close());
  const send = async (): Promise<number | undefined> =>
    (await sink.send([{ partitionKey: 'a', data: Buffer.from('x') }], new AbortController().signal)).clockAheadMs;
  for (let request = 0; request < 20; request += 1) assert.equal(await send(), 0);
  await stream.faults({ clockOffsetMs: 3_600_000 });
  const behindMs = -((await send()) ?? 0);
  assert.ok(behindMs > 3_598_000 && behindMs <= 3_600_000, `${behindMs} ms behind`);
});
