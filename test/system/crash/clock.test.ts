import assert from 'node:assert/strict';
import { renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { eventually } from '../../support/eventually.ts';
import { assertWhole, Processes } from './support/processes.ts';
import { tempDir } from '../../support/temp-dir.ts';

const HOUR_MS = 3_600_000;
/** The Date header has a resolution of one second: tolerate half a second either way. */
const hourOff = (way: string): RegExp => new RegExp(`^this box is (3599|3600)\\d{3} ms ${way} the stream$`);
const preload = pathToFileURL(fileURLToPath(new URL('support/shifted-clock.mjs', import.meta.url))).href;

test('a clock that jumps ahead, back and to 2001 loses, duplicates and reorders nothing; readings and health report it', async (t) => {
  const clock = path.join(tempDir(t), 'clock');
  const set = (ms: number): void => {
    writeFileSync(`${clock}.tmp`, String(ms));
    renameSync(`${clock}.tmp`, clock);
  };
  set(0);
  const processes = new Processes(t, { nodeArgs: ['--import', preload], environment: { HR_TEST_CLOCK: clock } });
  const witness = await processes.startAll();
  const { run = '' } = witness.live[0] ?? {};
  await eventually(() => witness.live.at(-1)?.clock === 'synced', { what: 'synced' });
  const clockReason = (): string => witness.statuses.get('forwarder')?.checks?.find(({ name }) => name === 'clock')?.reason ?? '';
  assert.equal(clockReason(), '');

  set(HOUR_MS);
  await eventually(() => hourOff('ahead of').test(clockReason()), { what: 'an hour ahead' });
  await eventually(() => witness.live.at(-1)?.clock === 'unsynced', { what: 'unsynced' });
  set(-HOUR_MS);
  await eventually(() => hourOff('behind').test(clockReason()), { what: 'an hour behind' });
  set(-25 * 365 * 24 * HOUR_MS);
  await eventually(() => clockReason().startsWith("this box's clock shows 2001-"), { what: 'the year 2001' });
  assert.equal(witness.live.at(-1)?.clock, 'unsynced');
  set(0);
  await eventually(() => clockReason() === '' && witness.live.at(-1)?.clock === 'synced', { what: 'the clock is right again' });

  await processes.stop('ble-bridge');
  const { outbox } = await eventually(() => {
    const status = witness.statuses.get('ble-bridge');
    return status?.state === 'offline' ? status.bridge : undefined;
  });
  const readings = await processes.drained();
  assertWhole(readings, run, outbox.last_seq);
  assert.equal(readings.length, outbox.last_seq, 'none twice');
  const seen = witness.live.map(({ seq }) => seq);
  assert.deepEqual(
    seen,
    seen.toSorted((a, b) => a - b),
  );
  assert.deepEqual(witness.gaps, []);
  const { ledger } = witness.statuses.get('forwarder')?.forwarder ?? {};
  assert.deepEqual(ledger, { accepted: outbox.last_seq, shipped: outbox.last_seq, queued: 0, dead: 0, evicted: 0, missed: 0 });
});
