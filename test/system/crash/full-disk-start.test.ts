import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { connectAsync } from 'mqtt';
import { cannotRun } from '../../support/cannot-run.ts';
import { eventually } from '../../support/eventually.ts';
import { smallDisk } from '../../support/small-disk.ts';
import { getJson, startOneProcess, type QueueAnswer } from '../pipeline/support/one-process.ts';

const VOLUME_OF_1_0_0 = fileURLToPath(new URL('../../data/volume-1.0.0.tar.gz', import.meta.url));
/** Its readings that are not shipped. */
const QUEUED_IN_1_0_0 = fileURLToPath(new URL('../../data/volume-1.0.0.json', import.meta.url));

interface Health {
  checks: { code: string }[];
}

/** Uses up all inodes of a small disk. Returns how to free them. */
function takeInodes(folder: string): () => void {
  spawnSync('mount', ['-o', 'remount,nr_inodes=200', folder]);
  const files: string[] = [];
  while (statfsSync(folder).ffree > 0) {
    const file = path.join(folder, `inode-${files.length}`);
    writeFileSync(file, '');
    files.push(file);
  }
  return () => {
    for (const file of files) rmSync(file);
  };
}

for (const what of ['blocks', 'inodes'] as const)
  test(`a disk without free ${what} at start is waited for, while broker, page and live readings work`, async (t) => {
    const disk = smallDisk(16 * 1024 * 1024);
    if (disk === undefined) return cannotRun(t, 'a small file system cannot be mounted here');
    const environment = { BLE_SOURCE: 'simulated', QUEUE_MIN_FREE_DISK_BYTES: '0', WATCHDOG_TIMEOUT_MS: '0' };
    const first = startOneProcess(t, disk.folder, environment);
    const addresses = await first.addresses();
    await eventually(async () => (await getJson<QueueAnswer>(`${addresses.admin}/queue`)).ledger.shipped >= 3);
    assert.equal(await first.end(), 0, first.output());
    // Also without what an earlier start left to help itself with.
    rmSync(path.join(disk.folder, 'queue.db.reserve'), { force: true });
    const free = what === 'inodes' ? takeInodes(disk.folder) : disk.clear;
    if (what === 'blocks') disk.fillTo(0);

    const box = startOneProcess(t, disk.folder, environment);
    const { admin, mqttPort } = await box.addresses();
    const client = await connectAsync(`mqtt://127.0.0.1:${mqttPort}`);
    t.after(() => client.end(true));
    let live = 0;
    client.on('message', () => (live += 1));
    await client.subscribeAsync('hr/+/bpm');
    await eventually(() => live >= 3, { what: 'live readings' });
    await eventually(async () => (await getJson<Health>(`${admin}/health`)).checks.some(({ code }) => code === 'disk_full'), {
      what: 'health names the full disk',
    });

    free();
    const before = (await getJson<QueueAnswer>(`${admin}/queue`)).ledger.shipped;
    await eventually(async () => (await getJson<QueueAnswer>(`${admin}/queue`)).ledger.shipped >= before + 6, {
      withinMs: 60_000,
      what: 'readings are shipped once there is space',
    });
    assert.equal(await box.end(), 0, box.output());
    return undefined;
  });

for (const what of ['blocks', 'inodes'] as const)
  test(`the first start after an update of 1.0.0 on a disk without free ${what} serves broker, page and live readings`, async (t) => {
    const disk = smallDisk(16 * 1024 * 1024);
    if (disk === undefined) return cannotRun(t, 'a small file system cannot be mounted here');
    const unpacked = spawnSync('tar', ['-xzf', VOLUME_OF_1_0_0, '--no-same-owner', '-C', disk.folder]);
    assert.equal(unpacked.status, 0, unpacked.stderr.toString());
    // What the first steps of a start remove would make room.
    const locks = path.join(disk.folder, 'locks');
    for (const name of readdirSync(locks)) if (name.endsWith('-journal')) rmSync(path.join(locks, name));
    rmSync(path.join(disk.folder, 'queue.db.reserve'));
    const free = what === 'inodes' ? takeInodes(disk.folder) : disk.clear;
    if (what === 'blocks') disk.fillTo(0);

    const box = startOneProcess(t, disk.folder, { BLE_SOURCE: 'simulated', QUEUE_MIN_FREE_DISK_BYTES: '0' });
    const { admin, mqttPort } = await box.addresses();
    const password = readFileSync(path.join(disk.folder, 'keys', 'admin-api'), 'utf8').trim();
    const client = await connectAsync(`mqtt://127.0.0.1:${mqttPort}`, { username: 'admin-api', password });
    t.after(() => client.end(true));
    let live = 0;
    client.on('message', () => (live += 1));
    await client.subscribeAsync('hr/+/bpm');
    await eventually(() => live >= 3, { what: 'live readings' });
    assert.equal((await fetch(`${admin}/`)).status, 200);
    free();
    const { readings } = JSON.parse(readFileSync(QUEUED_IN_1_0_0, 'utf8')) as { readings: string[] };
    await eventually(async () => (await getJson<QueueAnswer>(`${admin}/queue`)).ledger.shipped > readings.length, {
      withinMs: 60_000,
      what: 'what 1.0.0 left is shipped once there is space',
    });
    assert.equal(await box.end(), 0, box.output());
    return undefined;
  });

for (const what of ['blocks', 'inodes'] as const)
  test(`the first start on a disk without free ${what} waits for space, then runs`, async (t) => {
    const disk = smallDisk(16 * 1024 * 1024);
    if (disk === undefined) return cannotRun(t, 'a small file system cannot be mounted here');
    const free = what === 'inodes' ? takeInodes(disk.folder) : disk.clear;
    if (what === 'blocks') disk.fillTo(0);

    const box = startOneProcess(t, disk.folder, {
      BLE_SOURCE: 'simulated',
      QUEUE_MIN_FREE_DISK_BYTES: '0',
    });
    const waiting = await box.event('first_start_waits');
    assert.equal(waiting['code'], 'disk_full');
    free();
    const { admin } = await box.addresses();
    await eventually(async () => (await getJson<QueueAnswer>(`${admin}/queue`)).ledger.shipped >= 3, { withinMs: 60_000 });
    assert.equal(await box.end(), 0, box.output());
    return undefined;
  });

test('a first start that waits for space ends on SIGTERM with exit code 0', async (t) => {
  const disk = smallDisk(4 * 1024 * 1024);
  if (disk === undefined) return cannotRun(t, 'a small file system cannot be mounted here');
  disk.fillTo(0);
  const box = startOneProcess(t, disk.folder, { BLE_SOURCE: 'simulated' });
  await box.event('first_start_waits');
  assert.equal(await box.end(), 0, box.output());
  return undefined;
});
