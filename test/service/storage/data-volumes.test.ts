import assert from 'node:assert/strict';
import fs, { mkdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import path from 'node:path';
import { test } from 'node:test';
import { SERVICE_NAMES } from '../../../contract/topics.ts';
import { HrError } from '../../../service/errors/errors.ts';
import { lockDataDir } from '../../../service/storage/data-dir.ts';
import { prepareVolumes, requireVolumeOf } from '../../../service/storage/data-volumes.ts';
import { cannotRun } from '../../support/cannot-run.ts';
import { smallDisk } from '../../support/small-disk.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { testConfig, testLog } from '../../support/test-config.ts';
import { filesIn, KEYS, volumesOf1 } from './support/volumes.ts';

const log = testLog(testConfig({}));
const COMMON = ['gateway-name', 'volume-of'];
const OWNED = {
  gateway: [...SERVICE_NAMES.map((service) => `keys/${service}`), 'users.json'],
  'ble-bridge': [
    'devices.json',
    'keys/ble-bridge',
    'last-readings.json',
    'outbox/0123456789abcdef-00000001.spill.damaged-1',
    'outbox/2004dfae9978de19-00000001.spill',
  ],
  'admin-api': ['keys/admin-api', 'token'],
  'local-kinesis': ['keys/local-kinesis', 'local-kinesis.db', 'local-kinesis.db-wal'],
  forwarder: ['backups/queue-2026.db', 'keys/forwarder', 'notes.txt', 'queue.db'],
} as const;

/** What each volume must hold after the move, and that every file is what it was. */
function assertMoved(root: string, before: ReadonlyMap<string, string>): void {
  const after = new Map<string, string>();
  for (const service of SERVICE_NAMES) {
    const files = filesIn(path.join(root, service));
    const names = [...files.keys()].filter((name) => !name.startsWith('locks/') && !name.endsWith('.tmp'));
    assert.deepEqual(names.sort(), [...OWNED[service], ...COMMON].sort(), service);
    assert.equal(files.get('gateway-name'), 'front-desk\n', service);
    assert.equal(files.get('volume-of'), `${service}\n`);
    for (const [name, text] of files) if (!COMMON.includes(name)) after.set(name, text);
    assert.equal(files.get(`keys/${service}`), `${KEYS[service]}\n`);
    assert.equal(statSync(path.join(root, service, `keys/${service}`)).mode & 0o777, 0o600);
  }
  for (const [name, text] of before) if (!COMMON.includes(name)) assert.equal(after.get(name), text, name);
}

test('the volume of 1.0.0 is divided: each service has its own files, its key and the name of the box, and nothing is lost', (t) => {
  const { root, before } = volumesOf1(t);
  prepareVolumes({ root, log });
  assertMoved(root, before);
});

test('a second run changes no file, and a new box gets its keys and one name for all', (t) => {
  const { root } = volumesOf1(t);
  prepareVolumes({ root, log });
  const stamps = (): string[] =>
    SERVICE_NAMES.flatMap((service) =>
      [...filesIn(path.join(root, service)).keys()].map((name) => {
        const { ino, mtimeMs } = statSync(path.join(root, service, name));
        return `${service}/${name} ${ino} ${mtimeMs}`;
      }),
    );
  const before = stamps();
  prepareVolumes({ root, log });
  assert.deepEqual(stamps(), before);

  const fresh = tempDir(t);
  for (const service of SERVICE_NAMES) mkdirSync(path.join(fresh, service));
  prepareVolumes({ root: fresh, log });
  const names = SERVICE_NAMES.map((service) => readFileSync(path.join(fresh, service, 'gateway-name'), 'utf8'));
  assert.equal(new Set(names).size, 1);
  for (const service of SERVICE_NAMES) {
    const key = readFileSync(path.join(fresh, service, 'keys', service), 'utf8');
    assert.match(key, /^[\w-]{43}\n$/);
    assert.equal(readFileSync(path.join(fresh, 'gateway/keys', service), 'utf8'), key);
  }
});

test('a removed or foreign key of a service becomes the one that the gateway knows', (t) => {
  const { root } = volumesOf1(t);
  prepareVolumes({ root, log });
  rmSync(path.join(root, 'ble-bridge/keys/ble-bridge'));
  writeFileSync(path.join(root, 'forwarder/keys/forwarder'), 'another\n');
  prepareVolumes({ root, log });
  for (const service of SERVICE_NAMES)
    assert.equal(readFileSync(path.join(root, service, 'keys', service), 'utf8'), `${KEYS[service]}\n`);
});

test('an error or a kill at any step loses nothing: the next run completes the move', (t) => {
  const steps = [
    'copyFileSync',
    'fsyncSync',
    'renameSync',
    'rmSync',
    'rmdirSync',
    'mkdirSync',
    'writeSync',
    'utimesSync',
  ] as const;
  const original = Object.fromEntries(steps.map((name) => [name, fs[name] as unknown]));
  t.after(() => {
    Object.assign(fs, original);
    syncBuiltinESMExports();
  });
  // Every third step: all of them take a quarter of a minute.
  for (let failAt = 1; ; failAt += 3) {
    const { root, before } = volumesOf1(t);
    let step = 0;
    for (const name of steps) {
      const real = original[name] as (...args: unknown[]) => unknown;
      Object.assign(fs, {
        [name]: (...args: unknown[]) => {
          step += 1;
          // Everything after it fails as well: nothing can be tidied up.
          if (step >= failAt) throw Object.assign(new Error('injected'), { code: 'EIO' });
          return real(...args);
        },
      });
    }
    syncBuiltinESMExports();
    let failed = true;
    try {
      prepareVolumes({ root, log });
      failed = false;
    } catch (error) {
      assert.ok(error instanceof HrError, String(error));
    } finally {
      Object.assign(fs, original);
      syncBuiltinESMExports();
    }
    if (!failed) {
      assert.ok(failAt > 40, `only ${failAt} steps were interrupted`);
      return;
    }
    // What was not moved is still there, whole.
    const all = new Set(SERVICE_NAMES.flatMap((service) => [...filesIn(path.join(root, service)).values()]));
    for (const [name, text] of before) assert.ok(all.has(text), `${name} is lost after step ${failAt}`);
    prepareVolumes({ root, log });
    assertMoved(root, before);
  }
});

test('while a service of 1.0.0 uses its files they are not moved', (t) => {
  const { root, first, before } = volumesOf1(t);
  const lock = lockDataDir({ DATA_DIR: first }, 'ble-bridge');
  assert.throws(
    () => prepareVolumes({ root, log }),
    (error) => error instanceof HrError && error.code === 'data_dir_in_use',
  );
  assert.ok(filesIn(first).has('outbox/2004dfae9978de19-00000001.spill'), 'a spill file in use was moved');
  lock.release();
  prepareVolumes({ root, log });
  assertMoved(root, before);
});

test('a full disk stops the move with a hint, and it continues once there is space', (t) => {
  const disk = smallDisk(4 * 1024 * 1024);
  if (disk === undefined) return cannotRun(t, 'a small file system cannot be mounted');
  const { root, first } = volumesOf1(t, disk.folder);
  writeFileSync(path.join(first, 'local-kinesis.db'), Buffer.alloc(1024 * 1024, 'r'));
  const before = filesIn(first);
  disk.fillTo(256 * 1024);
  assert.throws(
    () => prepareVolumes({ root, log }),
    (error) => error instanceof HrError && error.code === 'data_dir_unusable' && error.hint.includes('Free space'),
  );
  assert.equal(filesIn(first).get('local-kinesis.db'), before.get('local-kinesis.db'));
  disk.clear();
  prepareVolumes({ root, log });
  assertMoved(root, before);
});

test('files that 1.0.0 wrote after an update that was undone count; those that they replace are kept', (t) => {
  const { root, first, before } = volumesOf1(t);
  prepareVolumes({ root, log });
  writeFileSync(path.join(first, 'devices.json'), '{"newer":1}');
  utimesSync(path.join(first, 'devices.json'), new Date(), new Date(Date.now() + 60_000));
  prepareVolumes({ root, log });
  const bridge = filesIn(path.join(root, 'ble-bridge'));
  assert.equal(bridge.get('devices.json'), '{"newer":1}');
  const kept = [...bridge].find(([name]) => name.startsWith('devices.json.replaced-'));
  assert.equal(kept?.[1], before.get('devices.json'));
});

test('a command that needs the files of another service names its container', (t) => {
  const { root } = volumesOf1(t);
  prepareVolumes({ root, log });
  requireVolumeOf('gateway', { DATA_DIR: path.join(root, 'gateway') });
  requireVolumeOf('gateway', { DATA_DIR: tempDir(t) });
  assert.throws(
    () => requireVolumeOf('gateway', { DATA_DIR: path.join(root, 'forwarder') }),
    (error) => error instanceof HrError && error.code === 'wrong_container' && error.hint.includes('exec gateway'),
  );
});
