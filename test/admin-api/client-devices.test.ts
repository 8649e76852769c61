import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { startBox } from './page/support/page-pipeline.ts';

/** Names that an app may choose, and that break a reader which keeps them in objects or prints them unescaped. */
const NAMES = ['Bike1', '__proto__', 'constructor', 'a"b\\c', '<img src=x onerror=alert(1)>', 'Jürgen 🚴', "';--"];

interface Shown {
  device: string;
  publisher: string | null;
  readings: number;
}

test('devices of other clients are shown under any name that is allowed, marked with who publishes them', async (t) => {
  const box = await startBox(t);
  const read = async (path: string): Promise<string> => await (await fetch(`${box.url}${path}`)).text();
  for (const name of NAMES) await box.app.publishAsync(`hr/${name}/bpm`, '72', { qos: 1 });
  const shown = await eventually(
    async () => {
      const devices = JSON.parse(await read('/devices')) as Shown[];
      return devices.length === NAMES.length && devices.every(({ publisher }) => publisher === 'coach') ? devices : undefined;
    },
    { withinMs: 15_000, what: 'every device with its publisher' },
  );
  assert.deepEqual(shown.map(({ device }) => device).sort(), NAMES.toSorted());
  for (const name of NAMES) {
    const readings = JSON.parse(await read(`/devices/${encodeURIComponent(name)}/readings`)) as { heart_rate: number }[];
    assert.deepEqual(
      readings.map(({ heart_rate }) => heart_rate),
      [72],
      name,
    );
  }
  const samples = (await read('/metrics')).split('\n').filter((line) => line.startsWith('hr_gateway_client_device_readings{'));
  assert.equal(samples.length, NAMES.length);
  assert.ok(
    samples.some((line) => line.includes('device="a\\"b\\\\c"')),
    samples.join('\n'),
  );
  const stored = await eventually(async () => {
    const all = await box.stream.readAll();
    return all.length === NAMES.length ? all : undefined;
  });
  assert.deepEqual(stored.map(({ device }) => device).sort(), NAMES.toSorted());
});
