import assert from 'node:assert/strict';
import { describe, test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { connectAsync } from 'mqtt';
import { encodeHeartRateMeasurement, rrToMs } from '../../../ble-bridge/gatt/hrm-parser.ts';
import { readRecordings } from '../../../recordings/read-recordings.ts';
import { parseDeviceStatus, type DeviceStatus } from '../../../contract/device-status.ts';
import { ForwarderService } from '../../../forwarder/service.ts';
import { GatewayService } from '../../../gateway/service.ts';
import { newUser, writeUsers } from '../../../gateway/users.ts';
import { LocalKinesisService } from '../../../local-kinesis/service.ts';
import { readOrCreateSecret } from '../../../service/storage/data-dir.ts';
import { startVirtualRadio, virtualRadioMissing, type VirtualRadio } from '../../ble-radio/support/virtual-radio.ts';
import { eventually } from '../../support/eventually.ts';
import { startProduct, type ProductProcess } from '../../support/product-process.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { testConfig, testLog } from '../../support/test-config.ts';
import { readAll, type StreamReading } from './support/stream.ts';

interface Pipeline {
  mqttUrl: string;
  /** Credentials of a user that may publish readings: what a service publishes there is not adopted. */
  app: { username: string; password: string };
  radio: VirtualRadio;
  bridge: ProductProcess;
  devices: Map<string, DeviceStatus>;
  /** Waits until this many straps are subscribed. */
  listening(count: number): Promise<void>;
  read(): Promise<StreamReading[]>;
}

/** Gateway, stream and forwarder in this process; the bridge as a separate process, with unmodified noble on the virtual radio. */
async function startPipeline(t: TestContext): Promise<Pipeline> {
  const folder = tempDir(t);
  const radio = await startVirtualRadio(t);
  const start = async <S extends { start(): Promise<void>; stop(): Promise<void> }>(service: S): Promise<S> => {
    t.after(() => service.stop());
    await service.start();
    return service;
  };
  const base = testConfig({ DATA_DIR: folder });
  const log = testLog(base);
  const app = { username: 'lab-app', password: 'a password of the lab' };
  writeUsers(base, { [app.username]: await newUser(app.password, { publish: ['hr/+/bpm'], subscribe: [] }) });
  const gateway = await start(new GatewayService({ config: base, log }));
  const stream = await start(new LocalKinesisService({ config: base, log }));
  const mqttUrl = `mqtt://127.0.0.1:${gateway.mqttPort}`;
  await start(
    new ForwarderService({
      config: testConfig({ DATA_DIR: folder, MQTT_URL: mqttUrl, LOCAL_KINESIS_PORT: String(stream.port) }),
      log,
    }),
  );
  const ears = await connectAsync(mqttUrl, {
    username: 'admin-api',
    password: readOrCreateSecret(base, 'admin-api'),
    protocolVersion: 4,
    reconnectPeriod: 0,
  });
  t.after(() => ears.end(true));
  const devices = new Map<string, DeviceStatus>();
  ears.on('message', (_, payload) => {
    const status = parseDeviceStatus(payload);
    if (status.ok) devices.set(status.value.device, status.value);
  });
  await ears.subscribeAsync('hr/+/status');
  const { environment, nodeArgs } = radio.environment();
  const bridge = startProduct(
    t,
    'ble-bridge/main',
    { ...environment, DATA_DIR: folder, MQTT_URL: mqttUrl, GATEWAY_NAME: 'test-box' },
    { nodeArgs },
  );
  return {
    radio,
    bridge,
    devices,
    mqttUrl,
    app,
    async listening(count) {
      await bridge.event('mqtt_connected');
      // The battery is read after the subscription is acknowledged: no notification is lost from then on.
      await eventually(() => [...devices.values()].filter(({ battery_percent }) => battery_percent !== null).length === count, {
        what: `${count} straps in ${JSON.stringify([...devices.values()])}`,
      });
    },
    read: async () => await readAll(`http://127.0.0.1:${stream.port}`),
  };
}

/** Waits for as many readings as were sent, asserts that every seq from 1 on is there once, and returns them in order of seq. */
async function readComplete(pipeline: Pipeline, count: number): Promise<StreamReading[]> {
  const readings = await eventually(
    async () => {
      const all = await pipeline.read();
      return all.length >= count ? all : undefined;
    },
    { withinMs: 60_000, everyMs: 300, what: `${count} readings in the stream` },
  );
  assert.equal(new Set(readings.map(({ run }) => run)).size, 1);
  const sorted = [...readings].sort((a, b) => a.seq - b.seq);
  assert.deepEqual(
    sorted.map(({ seq }) => seq),
    Array.from({ length: count }, (_, index) => index + 1),
  );
  return sorted;
}

describe('virtual straps through the whole pipeline', { skip: virtualRadioMissing() }, () => {
  test('a recorded workout over the radio arrives in the stream with the same values, no seq missing, none twice', async (t) => {
    const pipeline = await startPipeline(t);
    const [workout] = await readRecordings(
      fileURLToPath(new URL('../../data/recordings/intervals-garmin-vivoactive-hr.csv', import.meta.url)),
    );
    const rates = (workout?.rows ?? []).flatMap(({ bpm }) => (bpm === null ? [] : [bpm]));
    await pipeline.radio.add(1, { name: 'vivoactive', period: 0 });
    await pipeline.listening(1);
    for (const bpm of rates)
      await pipeline.radio.raw(1, encodeHeartRateMeasurement({ bpm, contact: null, energyKj: null, rr1024: [] }));
    const readings = await readComplete(pipeline, rates.length);
    assert.deepEqual(
      readings.map(({ heart_rate }) => heart_rate),
      rates,
    );
    assert.ok(
      readings.every(
        ({ device, gateway, source }) => device === 'vivoactive-000001' && gateway === 'test-box' && source === undefined,
      ),
    );
    assert.equal(await pipeline.bridge.end(), 0);
  });

  test('five straps at once, with heart rates over 255, nine RR intervals, contact lost and back, and battery changes', async (t) => {
    const pipeline = await startPipeline(t);
    const ids = [1, 2, 3, 4, 5];
    for (const id of ids) await pipeline.radio.add(id, { name: `HR${id}`, period: 0, battery: 50 });
    await pipeline.listening(5);
    const rr1024 = [700, 701, 702, 703, 704, 705, 706, 707, 708];
    const beats = (id: number): Parameters<typeof encodeHeartRateMeasurement>[0][] => [
      ...Array.from({ length: 40 }, (_, beat) => ({ bpm: 60 + id + beat, contact: true, energyKj: null, rr1024: [800 + beat] })),
      { bpm: 256 + id, contact: true, energyKj: 1000 * id, rr1024: [] },
      { bpm: 170 + id, contact: null, energyKj: null, rr1024 },
      { bpm: 171 + id, contact: false, energyKj: null, rr1024: [] },
      { bpm: 172 + id, contact: true, energyKj: null, rr1024: [] },
    ];
    await Promise.all(
      ids.map(async (id) => {
        for (const [index, beat] of beats(id).entries()) {
          await pipeline.radio.raw(id, encodeHeartRateMeasurement(beat));
          if (index === 20) await pipeline.radio.op('batt', { id, level: 10 + id });
        }
      }),
    );
    const readings = await readComplete(pipeline, 5 * beats(1).length);
    for (const id of ids)
      assert.deepEqual(
        readings
          .filter(({ device }) => device === `hr${id}-00000${id}`)
          .map(({ heart_rate, sensor_contact, energy_expended_kj, rr_intervals_ms }) => [
            heart_rate,
            sensor_contact,
            energy_expended_kj,
            rr_intervals_ms,
          ]),
        beats(id).map(({ bpm, contact, energyKj, rr1024: intervals }) => [bpm, contact, energyKj, intervals.map(rrToMs)]),
      );
    await eventually(() => ids.every((id) => pipeline.devices.get(`hr${id}-00000${id}`)?.battery_percent === 10 + id));
    assert.ok([...pipeline.devices.values()].every(({ battery_low }) => battery_low === true));
  });

  test('readings of 2 KB arrive: a notification with 120 RR intervals, and readings of other apps with 250 and more', async (t) => {
    const pipeline = await startPipeline(t);
    await pipeline.radio.add(1, { name: 'HR1', period: 0 });
    await pipeline.listening(1);
    const rr1024 = Array.from({ length: 120 }, (_, index) => 701 + 3 * index);
    for (const bpm of [71, 72, 73])
      await pipeline.radio.raw(1, encodeHeartRateMeasurement({ bpm, contact: true, energyKj: 5, rr1024 }));
    const readings = await readComplete(pipeline, 3);
    for (const reading of readings) assert.deepEqual(reading.rr_intervals_ms, rr1024.map(rrToMs));

    const app = await connectAsync(pipeline.mqttUrl, { ...pipeline.app, protocolVersion: 4, reconnectPeriod: 0 });
    t.after(() => app.end(true));
    const published = [250, 2500].map((count) => ({
      timestamp: new Date().toISOString(),
      heart_rate: 80,
      rr_intervals_ms: Array.from({ length: count }, (_, index) => 700.5 + index),
      note: 'x'.repeat(600),
    }));
    for (const reading of published) await app.publishAsync('hr/lab-chair/bpm', JSON.stringify(reading), { qos: 1 });
    const all = await eventually(
      async () => {
        const read = await pipeline.read();
        return read.length === 5 ? read : undefined;
      },
      { withinMs: 30_000, what: 'five readings in the stream' },
    );
    const adopted = all.filter(({ device }) => device === 'lab-chair').sort((a, b) => a.seq - b.seq);
    for (const [index, reading] of adopted.entries()) {
      assert.equal(reading.timestamp, published[index]?.timestamp);
      assert.equal({ publisher: '', ...reading }.publisher, pipeline.app.username);
      assert.equal(reading.heart_rate, 80);
      assert.equal({ original: '', ...reading }.original, JSON.stringify(published[index]), 'the text is unaltered');
      assert.ok(JSON.stringify(reading).length > 2048);
    }
  });
});
