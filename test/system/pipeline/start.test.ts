import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DeviceStatus } from '../../../contract/device-status.ts';
import { eventually } from '../../support/eventually.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { getJson, startOneProcess, type QueueAnswer } from './support/one-process.ts';
import { readAll, type StreamReading } from './support/stream.ts';

/** Asserts that the seqs of every run are complete from 1 on, each present once. */
function assertComplete(readings: readonly StreamReading[]): void {
  const runs = groupByRun(readings);
  for (const [run, group] of runs) {
    const seqs = group.map(({ seq }) => seq).sort((a, b) => a - b);
    assert.deepEqual(
      seqs,
      Array.from({ length: seqs.length }, (_, i) => i + 1),
      `run ${run}`,
    );
  }
}

function groupByRun(readings: readonly StreamReading[]): Map<string, StreamReading[]> {
  const runs = new Map<string, StreamReading[]>();
  for (const reading of readings) runs.set(reading.run, [...(runs.get(reading.run) ?? []), reading]);
  return runs;
}

test('without configuration, simulated straps reach the stream; a second start continues with the same queue and stream', async (t) => {
  const folder = tempDir(t);
  const first = startOneProcess(t, folder);
  const at = await first.addresses();
  assert.match(first.output(), /SIMULATED/);
  await eventually(async () => (await getJson<QueueAnswer>(`${at.admin}/queue`)).ledger.shipped >= 6);
  const devices = await eventually(async () => {
    const all = await getJson<DeviceStatus[]>(`${at.admin}/devices`);
    return all.length === 3 && all.every(({ adapter_state }) => adapter_state !== undefined) ? all : undefined;
  });
  assert.ok(devices.every(({ source }) => source === 'simulated'));
  // Radio health of each strap.
  assert.ok(
    devices.every(
      ({ adapter_state, advertisements_per_minute = -1, connects = 0, disconnects, reconnect_ms_p50 }) =>
        adapter_state === 'powered_on' &&
        advertisements_per_minute >= 0 &&
        connects >= 0 &&
        disconnects !== undefined &&
        reconnect_ms_p50 !== undefined,
    ),
  );

  const second = startOneProcess(t, folder);
  assert.equal(await second.ended, 1);
  assert.match(second.output(), /data_dir_in_use/);
  await getJson(`${at.admin}/health`);

  assert.equal(await first.end('SIGINT'), 0, first.output());
  const again = startOneProcess(t, folder);
  const there = await again.addresses();
  const readings = await eventually(
    async () => {
      const all = await readAll(there.stream);
      return new Set(all.map(({ run }) => run)).size === 2 ? all : undefined;
    },
    { what: 'both starts in one stream' },
  );
  // The bridge has stopped in order, with everything stored: its run is known to be complete.
  const [ended] = readings.map(({ run }) => run);
  await eventually(async () => (await getJson<{ state: string }>(`${there.admin}/queue/runs/${ended}`)).state === 'closed');
  const { ledger } = await getJson<QueueAnswer>(`${there.admin}/queue`);
  assert.equal(ledger.accepted, ledger.shipped + ledger.queued + ledger.dead + ledger.evicted);
  assert.ok(readings.every(({ source }) => source === 'simulated'));
  assertComplete(readings);
  assert.equal(await again.end('SIGTERM'), 0, again.output());
});

test('an invalid configuration ends the start with all faults reported', async (t) => {
  const product = startOneProcess(t, tempDir(t), { QUEUE_WHEN_FULL: 'panic', MQTT_LISTEN_PRT: '1' });
  assert.equal(await product.ended, 78);
  assert.match(product.output(), /QUEUE_WHEN_FULL: must be one of evict-oldest, refuse \(got panic\)/);
  assert.match(product.output(), /unknown setting MQTT_LISTEN_PRT \(did you mean MQTT_LISTEN_PORT\?\)/);
});
