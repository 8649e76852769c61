import assert from 'node:assert/strict';
import { once } from 'node:events';
import { copyFileSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { migrate, NewerSchemaError } from '../../../forwarder/queue/schema.ts';
import { Queue } from '../../../forwarder/queue/queue.ts';
import type { RunWatermark } from '../../../forwarder/queue/queue-messages.ts';
import { LocalKinesisService } from '../../../local-kinesis/service.ts';
import { HrError } from '../../../service/errors/errors.ts';
import { openDatabase, type Database } from '../../../service/storage/sqlite.ts';
import { eventually } from '../../support/eventually.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { testConfig, testLog } from '../../support/test-config.ts';

/** A queue as version 1.0.0 left it: 40 readings accepted of one run, 10 of them shipped, one dead letter (test/data/SOURCES.md). */
const OLDER = fileURLToPath(new URL('../../data/queue-schema-1.db', import.meta.url));

function older(t: TestContext): { folder: string; file: string; open: () => Database } {
  const folder = path.join(tempDir(t), 'data');
  mkdirSync(folder);
  const file = path.join(folder, 'queue.db');
  copyFileSync(OLDER, file);
  return {
    folder,
    file,
    open() {
      const database = openDatabase(file);
      t.after(() => database.close());
      return database;
    },
  };
}
const versionOf = (database: Database): unknown => database.pragma('user_version', { simple: true });
const columnsOf = (database: Database): string[] =>
  (database.pragma('table_info(rows)') as { name: string }[]).map(({ name }) => name);

test('this version opens a queue file of schema 1 with its rows, watermarks, ledger and dead letter', async (t) => {
  const { folder } = older(t);
  const queue = new Queue(testConfig({ DATA_DIR: folder }));
  t.after(() => queue.stop());
  const opened = once(queue, 'opened');
  await queue.start();
  const [watermarks, queueId] = (await opened) as [RunWatermark[], string];
  assert.deepEqual(
    watermarks.map(({ gateway, stored }) => [gateway, stored]),
    [['test-box', 40]],
  );
  assert.match(queueId, /^[0-9a-f]{16}$/);
  assert.equal(queue.state.damage, null);
  assert.deepEqual(queue.state.ledger, { accepted: 41, shipped: 10, queued: 30, dead: 1, evicted: 0, missed: 0 });
  const rows = await queue.take({ maxRows: 100, maxBytes: 1_000_000 });
  assert.deepEqual(
    rows.map(({ data }) => (JSON.parse(data) as { seq: number }).seq),
    Array.from({ length: 30 }, (_, i) => 11 + i),
  );
  queue.acknowledge(rows.map(({ id }) => id));
  await eventually(() => queue.state.ledger.shipped === 40 && queue.state.ledger.queued === 0);
});

test('migrations run in order from the version of the file, keep its rows, and run once', (t) => {
  const { open } = older(t);
  const database = open();
  const before = database.prepare('SELECT id, data FROM rows ORDER BY id').all();
  assert.equal(before.length, 30);
  const steps = [
    'not run again',
    'ALTER TABLE rows ADD COLUMN later INTEGER NOT NULL DEFAULT 7',
    'UPDATE rows SET later = later * 2',
  ];
  migrate(database, steps);
  assert.equal(versionOf(database), 3);
  assert.deepEqual(database.prepare('SELECT id, data FROM rows ORDER BY id').all(), before);
  assert.deepEqual(database.prepare('SELECT DISTINCT later FROM rows').pluck().all(), [14]);
  migrate(database, steps);
  assert.deepEqual(database.prepare('SELECT DISTINCT later FROM rows').pluck().all(), [14]);
});

test('a failed migration leaves the file unchanged and runs again at the next start', (t) => {
  const { open } = older(t);
  const database = open();
  const first = 'ALTER TABLE rows ADD COLUMN later INTEGER';
  assert.throws(() =>
    migrate(database, ['', first, 'ALTER TABLE rows ADD COLUMN half INTEGER; INSERT INTO no_such_table VALUES (1)']),
  );
  assert.equal(versionOf(database), 2);
  assert.ok(columnsOf(database).includes('later') && !columnsOf(database).includes('half'));
  migrate(database, ['', first, 'ALTER TABLE rows ADD COLUMN half INTEGER']);
  assert.equal(versionOf(database), 3);
  assert.ok(columnsOf(database).includes('half'));
});

test('a file of a newer version is refused by the queue and by the local stream', async (t) => {
  const { open } = older(t);
  const database = open();
  database.pragma('user_version = 5');
  assert.throws(
    () => migrate(database, ['', '']),
    (error) => error instanceof NewerSchemaError && /version 5, this program supports up to 2/.test(error.message),
  );

  const config = testConfig({ DATA_DIR: tempDir(t) });
  const made = (): LocalKinesisService => new LocalKinesisService({ config, log: testLog(config) });
  const first = made();
  await first.start();
  await first.stop();
  const stream = openDatabase(path.join(config.DATA_DIR, 'local-kinesis.db'));
  assert.equal(versionOf(stream), 1);
  stream.pragma('user_version = 9');
  stream.close();
  const refused = made();
  await assert.rejects(
    refused.start(),
    (error) => error instanceof HrError && error.code === 'local_stream_unusable' && /version 9/.test(error.detail),
  );
  // Its thread has ended by then: a stop must not wait for an end that has been.
  await sleep(500);
  await refused.stop();
});
