import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test, type TestContext } from 'node:test';
import fc from 'fast-check';
import { parseResponsePart, type ResponseMessage } from '../../../contract/response.ts';
import { deliveredReadingsTopic, encodePacket, offerTopic } from '../../../contract/delivery.ts';
import { parseReading } from '../../../contract/reading.ts';
import { readingTopic, responseTopic } from '../../../contract/topics.ts';
import type { ForwarderStatus } from '../../../contract/forwarder-status.ts';
import { parseServiceStatus } from '../../../contract/service-status.ts';
import { ForwarderService } from '../../../forwarder/service.ts';
import { checkNumbered } from '../../../forwarder/intake/reading-check.ts';
import { Publications } from '../../../forwarder/intake/publications.ts';
import { GatewayService } from '../../../gateway/service.ts';
import type { Config } from '../../../service/config/config.ts';
import { MqttLink } from '../../../service/mqtt/mqtt-link.ts';
import type { DeadLetterInput } from '../../../forwarder/queue/queue-messages.ts';
import { eventually } from '../../support/eventually.ts';
import { startLocalStream } from '../../support/local-stream.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { testConfig, testLog } from '../../support/test-config.ts';

type Letter = DeadLetterInput & { id: number };

interface Bench {
  publish(topic: string, payload: string): void;
  /** The last status that the forwarder published. */
  status(): ForwarderStatus | undefined;
  /** The highest mark published of a run. */
  watermarks: Map<string, number>;
  request(verb: string, args: object): Promise<ResponseMessage & { ok: true }>;
  stream: Awaited<ReturnType<typeof startLocalStream>>;
}

/** Real broker, forwarder and local stream in this process; spoken to as the bridge and the admin API do. */
async function start(t: TestContext): Promise<Bench> {
  const stream = await startLocalStream(t);
  const base: Config = testConfig({ DATA_DIR: tempDir(t), LOCAL_KINESIS_PORT: String(stream.port) });
  const gateway = new GatewayService({ config: base, log: testLog(base) });
  await gateway.start();
  const config = { ...base, MQTT_URL: `mqtt://127.0.0.1:${gateway.mqttPort}` };
  const onFatal = (error: unknown): void => {
    throw error;
  };
  const forwarder = new ForwarderService({ config, log: testLog(config), onFatal }, { takesLiveReadings: true });
  await forwarder.start();
  const watermarks = new Map<string, number>();
  const answers = new Map<string, ResponseMessage>();
  const parts = new Map<string, Buffer[]>();
  let status: ForwarderStatus | undefined;
  const bridge = new MqttLink({
    service: 'ble-bridge',
    config,
    log: testLog(config),
    subscriptions: {
      'edge/+/stored/+': (topic, payload) => {
        const run = topic.slice(topic.lastIndexOf('/') + 1);
        watermarks.set(run, Math.max(watermarks.get(run) ?? 0, (JSON.parse(payload.toString()) as { stored: number }).stored));
      },
    },
  });
  const admin = new MqttLink({
    service: 'admin-api',
    config,
    log: testLog(config),
    subscriptions: {
      [responseTopic('test-box', 'forwarder', '+')]: (topic, payload) => {
        const id = topic.slice(topic.lastIndexOf('/') + 1);
        const part = parseResponsePart(payload);
        const received = part.ok ? [...(parts.get(id) ?? []), Buffer.from(part.value.data, 'base64')] : [payload];
        parts.set(id, received);
        if (!part.ok || part.value.part === part.value.parts)
          answers.set(id, JSON.parse(Buffer.concat(received).toString()) as ResponseMessage);
      },
      'edge/test-box/forwarder/status': (_, payload) => {
        const parsed = parseServiceStatus(payload);
        if (parsed.ok) status = parsed.value.forwarder;
      },
    },
  });
  bridge.start();
  admin.start();
  t.after(async () => {
    await bridge.stop();
    await admin.stop();
    await forwarder.stop();
    await gateway.stop();
  });
  await eventually(() => bridge.connected && admin.connected && status !== undefined);
  return {
    publish: (topic, payload) => assert.ok(bridge.publish(topic, payload)),
    status: () => status,
    watermarks,
    stream,
    async request(verb, args) {
      const id = randomBytes(6).toString('hex');
      admin.publish(`edge/test-box/forwarder/request/${verb}`, JSON.stringify({ id, args }));
      const answer = await eventually(() => answers.get(id), { what: verb });
      if (!answer.ok) throw new Error(answer.error.message);
      return answer;
    },
  };
}

const RUN = '00112233445566aa';

const countBy = (names: readonly string[]): Record<string, number> =>
  Object.fromEntries([...new Set(names)].map((name) => [name, names.filter((other) => other === name).length]));
const numbered = (seq: number, more: object = {}): string =>
  JSON.stringify({
    timestamp: '2026-01-01T00:00:00.000Z',
    heart_rate: 70,
    device: 'strap-1',
    gateway: 'box',
    run: RUN,
    seq,
    ...more,
  });

/** Payloads that are no readings. */
const RUBBISH: readonly (readonly [what: string, payload: string, reason: string])[] = [
  ['no JSON', 'seventy-two', 'payload_not_json'],
  ['JSON that ends early', '{"timestamp":"2026-01-01T00:00:00Z","heart_', 'payload_not_json'],
  ['null', 'null', 'payload_not_a_reading'],
  ['a list', '[1,2,3]', 'payload_not_a_reading'],
  ['deep nesting', '['.repeat(50_000), 'payload_too_deep'],
  ['no heart rate', '{"timestamp":"2026-01-01T00:00:00Z"}', 'heart_rate_missing'],
  ['a timestamp without its zone', '{"timestamp":"2026-01-01T00:00:00","heart_rate":70}', 'timestamp_without_offset'],
  ['a date that does not exist', '{"timestamp":"2026-02-30T00:00:00Z","heart_rate":70}', 'timestamp_impossible'],
  ['a heart rate as text', '{"timestamp":"2026-01-01T00:00:00Z","heart_rate":"70"}', 'heart_rate_type'],
  ['a heart rate of 65536', '{"timestamp":"2026-01-01T00:00:00Z","heart_rate":65536}', 'heart_rate_out_of_range'],
  ['a heart rate of 1e99', '{"timestamp":"2026-01-01T00:00:00Z","heart_rate":1e99}', 'heart_rate_out_of_range'],
  ['half a beat', '{"timestamp":"2026-01-01T00:00:00Z","heart_rate":70.5}', 'heart_rate_not_integer'],
  ['two heart rates', '{"heart_rate":70,"heart_rate":71}', 'payload_duplicate_names'],
  ['control characters', '\u0000\u0001\u001f', 'payload_not_json'],
  ['60,000 characters', `{"heart_rate":70.5,"note":"${'x'.repeat(60_000)}"}`, 'heart_rate_not_integer'],
  [
    'more than 64 KiB',
    `{"timestamp":"2026-01-01T00:00:00Z","heart_rate":70,"note":"${'x'.repeat(300_000)}"}`,
    'payload_too_large',
  ],
  ['many bytes a character', `${'💓'.repeat(3000)}`, 'payload_not_json'],
];
/** Counted, and not stored. */
const NOTHING = ['', '0', '{"timestamp":"2026-01-01T00:00:00Z","heart_rate":0}'];

test('what is no reading becomes a dead letter, kept whole up to 64 KiB, and can be listed, retried and discarded', async (t) => {
  const { publish, status, request, stream } = await start(t);
  for (const [, payload] of RUBBISH) publish(readingTopic('strap-1'), payload);
  for (const payload of NOTHING) publish(readingTopic('strap-1'), payload);
  publish(readingTopic('strap-1'), '{"timestamp":"2026-01-01T00:00:00Z","heart_rate":71}');
  await eventually(() => status()?.ledger.dead === RUBBISH.length && status()?.ledger.shipped === 1);
  const ledger = status()?.ledger;
  assert.equal(ledger?.accepted, RUBBISH.length + 1);
  assert.equal(status()?.dead_letters, RUBBISH.length);
  const listed = await request('list-dead-letters', { limit: 500 });
  const { dead_letters: letters, total } = listed.result as { dead_letters: Letter[]; total: number };
  assert.equal(total, RUBBISH.length);
  for (const [index, letter] of letters.toReversed().entries()) {
    const [words, payload, reason] = RUBBISH[index] ?? ['', '', ''];
    assert.equal(letter.reason, reason, words);
    assert.notEqual(letter.detail, '', words);
    assert.equal(letter.device, 'strap-1');
    assert.equal(letter.bytes, Buffer.byteLength(payload), words);
    assert.equal(letter.whole, letter.bytes <= 65_536, words);
    assert.equal(letter.payload, payload.slice(0, 4096), words);
  }
  assert.deepEqual(status()?.arrivals?.['test-box'], {
    accepted: 1,
    duplicate: 0,
    put_back: 0,
    copy: 0,
    refused: { ...countBy(RUBBISH.map(([, , reason]) => reason)), no_pulse: 2, empty: 1 },
  });
  const page = (await request('list-dead-letters', { limit: 3, before: letters[2]?.id })).result as { dead_letters: Letter[] };
  assert.deepEqual(
    page.dead_letters.map(({ id }) => id),
    letters.slice(3, 6).map(({ id }) => id),
  );
  // None of it is a reading: a retry leaves it where it is.
  assert.deepEqual((await request('retry-dead-letters', { all: true })).result, { retried: 0, left: RUBBISH.length });
  assert.deepEqual((await request('discard-dead-letters', { ids: [letters[0]?.id, letters[1]?.id] })).result, { discarded: 2 });
  assert.deepEqual((await request('discard-dead-letters', { all: true })).result, { discarded: RUBBISH.length - 2 });
  await eventually(() => status()?.ledger.dead === 0);
  assert.deepEqual(
    { ...status()?.ledger },
    { accepted: RUBBISH.length + 1, shipped: 1, queued: 0, dead: 0, evicted: RUBBISH.length, missed: 0 },
  );
  assert.deepEqual(status()?.causes.evicted, { discarded: RUBBISH.length });
  await assert.rejects(request('discard-dead-letters', {}), /give ids/);
  assert.equal((await stream.readAll()).length, 1);
});

test('a numbered reading that is refused still moves the watermark: the readings behind it are taken', async (t) => {
  const { publish, status, watermarks, stream } = await start(t);
  const packets = deliveredReadingsTopic('box', RUN);
  publish(offerTopic('box', RUN), JSON.stringify({ run: RUN, from: 1, last: 0, dropped: {}, sync: 7 }));
  await eventually(() => watermarks.get(RUN) === 0);
  const refusal = { refused: { code: 'device_claimed', detail: 'strap-1 is a strap' }, device: 'strap-1', payload: '72' };
  publish(
    packets,
    encodePacket([
      { seq: 1, payload: numbered(1) },
      { seq: 2, payload: numbered(2, { heart_rate: 'seventy' }) },
      { seq: 3, payload: numbered(3, { heart_rate: 70_000 }) },
      { seq: 4, payload: numbered(4, { note: 'x'.repeat(300_000) }) },
      { seq: 5, payload: JSON.stringify(refusal) },
    ]),
  );
  await eventually(() => watermarks.get(RUN) === 5);
  publish(packets, 'no packet at all');
  publish(packets, '');
  publish(
    packets,
    encodePacket([
      { seq: 6, payload: 'rubbish' },
      { seq: 7, payload: numbered(8) },
      { seq: 8, payload: numbered(8, { gateway: 'another' }) },
      { seq: 9, payload: numbered(9) },
    ]),
  );
  await eventually(() => watermarks.get(RUN) === 9);
  await eventually(() => status()?.ledger.shipped === 2 && status()?.ledger.dead === 7);
  assert.deepEqual({ ...status()?.ledger }, { accepted: 9, shipped: 2, queued: 0, dead: 7, evicted: 0, missed: 0 });
  assert.deepEqual(status()?.causes.dead, { invalid: 3, too_large: 1, device_claimed: 1, identity: 2 });
  assert.deepEqual(status()?.arrivals?.['box'], {
    accepted: 2,
    duplicate: 0,
    put_back: 2,
    copy: 0,
    refused: { invalid: 3, too_large: 1, device_claimed: 1, identity: 2 },
  });
  assert.deepEqual(
    (await stream.readAll()).map(({ seq }) => seq).sort((first, second) => first - second),
    [1, 9],
  );
});

test('whatever bytes arrive, the check returns a row for a reading, otherwise a dead letter with a reason, and never throws', () => {
  const json = fc.oneof(
    fc.json(),
    fc
      .record(
        {
          timestamp: fc.oneof(fc.constant('2026-01-01T00:00:00Z'), fc.string()),
          heart_rate: fc.oneof(fc.integer(), fc.double(), fc.string()),
          device: fc.oneof(fc.constant('strap'), fc.anything()),
          source: fc.anything(),
        },
        { requiredKeys: [] },
      )
      .map((value) => JSON.stringify(value)),
  );
  const payloads = fc.oneof(
    fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes).toString()),
    fc.string({ unit: 'binary' }),
    json,
  );
  const publications = new Publications('box', () => 'synced');
  const publication = (payload: string): Parameters<Publications['check']>[0] => ({
    device: 'strap',
    topic: readingTopic('strap'),
    payload: Buffer.from(payload),
    arrivedAt: new Date(),
  });
  fc.assert(
    fc.property(payloads, (payload) => {
      for (const checked of [
        publications.check(publication(payload)),
        checkNumbered(payload, { gateway: 'box', run: RUN, seq: 1 }),
      ])
        if (checked.kind === 'row') assert.ok(parseReading(checked.data).ok && typeof checked.device === 'string');
        else if (checked.kind === 'dead')
          assert.ok(
            checked.letter.reason !== '' && checked.letter.detail !== '' && checked.letter.bytes === Buffer.byteLength(payload),
          );
    }),
    { numRuns: 2000 },
  );
});
