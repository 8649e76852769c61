import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SETTINGS } from '../../../service/config/settings.ts';
import { interruptAtRandom, quantile } from './support/interruptions.ts';

test('100 kills: what MQTT.js, paho and mosquitto_pub got a PUBACK for is in the stream; twice only what was in flight', async (t) => {
  await interruptAtRandom(t, { count: 100, signal: 'SIGKILL', seed: 14 });
});

test('in calm, at 400 publishes a second, the median PUBACK comes within the commit interval + 20 ms', async (t) => {
  const p50s: number[] = [];
  // Subtests, so that the processes of one have ended when the next one measures.
  for (const seed of [1, 2, 3])
    await t.test(`in calm, seed ${seed}`, async (sub) => {
      const account = await interruptAtRandom(sub, { count: 0, signal: 'SIGTERM', seed });
      if (account !== undefined) p50s.push(account.pubackP50Ms);
    });
  if (p50s.length === 0) return;
  const limitMs = SETTINGS.QUEUE_COMMIT_INTERVAL_MS.default + 20;
  assert.ok(quantile(p50s, 0.5) <= limitMs, `${p50s.join(', ')} ms, ${limitMs} ms allowed`);
});

test('without adoption the same kills lose readings that were acknowledged: the test above can fail', async (t) => {
  const options = { count: 10, signal: 'SIGKILL', parts: ['gateway'], environment: { GATEWAY_ADOPT: 'false' } } as const;
  try {
    const account = await interruptAtRandom(t, options);
    assert.equal(account, undefined, 'no reading was lost');
  } catch (error) {
    const { message } = error as Error;
    t.diagnostic(message.split('\n')[0] ?? '');
    assert.match(message, /[1-9][0-9]* acknowledged readings are not in the stream/);
  }
});
