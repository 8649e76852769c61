/** A reading that several sources of a salvage hold, in different states, has one state afterwards: by number and by identity. */
import assert from 'node:assert/strict';
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, test, type TestContext } from 'node:test';
import fc from 'fast-check';
import { ledgerOf } from '../../../forwarder/queue/ledger.ts';
import { insertRows, readState, type StoredRow } from '../../../forwarder/queue/stored-rows.ts';
import { openDatabase } from '../../../service/storage/sqlite.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { appendOf, contentsOf, copyOf, fileOf, openFile, RUN, takeFrom } from './support/queue-files.ts';

const HEADER = 32;
const FRAME = 24 + 1024;
const ROWS = 660;
const IN_FILE = 600;

interface Killed {
  folder: string;
  /** Seqs that were shipped, buried and evicted after the file was written back: the file alone still has them as rows. */
  shipped: number[];
  dead: number[];
  evicted: number[];
}

/** 600 rows in the file; in the log 120 of them are shipped, dead or evicted, and 60 more rows are accepted. */
function killedQueue(t: Parameters<typeof tempDir>[0]): Killed {
  const folder = tempDir(t);
  const queue = openFile(folder);
  queue.commit([appendOf(1, IN_FILE)]);
  queue.checkpoint();
  const taken = [...takeFrom(queue, 120, 10_000_000).ids];
  const [shipped, dead, evicted] = [taken.slice(0, 80), taken.slice(80, 100), taken.slice(100)];
  queue.shipped(Float64Array.from(shipped));
  for (const id of dead) queue.bury(id, 'refused_by_stream', '');
  queue.evict(Float64Array.from(evicted), 'test_reading');
  for (let from = IN_FILE + 1; from <= ROWS; from += 12) queue.commit([appendOf(from, 12)]);
  const killed = copyOf(folder, path.join(tempDir(t), 'killed'));
  queue.close();
  return { folder: killed, shipped, dead, evicted };
}

const template = killedQueue({ after: (end) => after(end as () => void) });

interface Found {
  /** Seqs that are sent from now on, as often as they are sent. */
  sent: number[];
  dead: number[];
  byAudit: Record<'shipped' | 'queued' | 'dead' | 'evicted' | 'missed' | 'unknown', number>;
  byLedger: ReturnType<typeof ledgerOf>;
  damage: string;
}

function salvaged(t: TestContext, harm: (log: Buffer) => void): Found {
  const folder = tempDir(t);
  cpSync(template.folder, folder, { recursive: true });
  const log = readFileSync(`${fileOf(folder)}-wal`);
  harm(log);
  writeFileSync(`${fileOf(folder)}-wal`, log);
  const queue = openFile(folder);
  const account = queue.showRun(RUN, 'test-box', null);
  assert.ok(account.kind === 'account', 'the run has an account');
  const database = openDatabase(fileOf(folder), { readonly: true });
  const state = readState(database);
  assert.ok(state !== undefined, 'there is a state');
  const dead = database.prepare('SELECT seq FROM dead ORDER BY seq').pluck().all() as number[];
  database.close();
  const sent = takeFrom(queue, 10_000, 100_000_000).data.map((data) => (JSON.parse(data) as { seq: number }).seq);
  queue.close();
  rmSync(folder, { recursive: true });
  return { sent, dead, byAudit: account.account.counts, byLedger: ledgerOf(state), damage: state.damage };
}

/**
 * Each seq has one state, and the account says of each state what the ledger says, but for seqs whose span is damaged: the account calls
 * them unknown, and the ledger still has them as shipped or evicted.
 */
function holds({ sent, dead, byAudit, byLedger, damage }: Found): void {
  const once = new Set([...sent, ...dead]);
  assert.equal(once.size, sent.length + dead.length, `a reading is sent twice, or is a dead letter, too: ${damage}`);
  const { shipped, queued, evicted } = byLedger;
  assert.deepEqual(
    { queued: byAudit.queued, dead: byAudit.dead, settled: byAudit.shipped + byAudit.evicted + byAudit.unknown },
    { queued, dead: byLedger.dead, settled: shipped + evicted },
    damage,
  );
  assert.ok(
    byAudit.shipped <= shipped,
    `the account says that ${byAudit.shipped} were shipped, the ledger ${shipped}: ${damage}`,
  );
  assert.ok(
    byAudit.evicted <= evicted,
    `the account says that ${byAudit.evicted} were evicted, the ledger ${evicted}: ${damage}`,
  );
  assert.equal(queued, sent.length);
  assert.equal(byLedger.dead, dead.length);
  assert.equal(byLedger.accepted, shipped + queued + dead.length + evicted);
}

const flipIn = (log: Buffer, frame: number, offset = 700): void => {
  const at = HEADER + frame * FRAME + 24 + offset;
  log[at] = (log[at] ?? 0) ^ 0x5a;
};

test('rows that the file and its log both hold are counted once and sent once', (t) => {
  const frames = Math.floor((readFileSync(`${fileOf(template.folder)}-wal`).length - HEADER) / FRAME);
  for (const frame of [0, Math.floor(frames / 3), Math.floor(frames / 2), frames - 8]) {
    const found = salvaged(t, (log) => flipIn(log, frame));
    assert.notEqual(found.damage, '', `frame ${frame} of ${frames}`);
    holds(found);
  }
});

test('a reading that the log has as shipped, dead or evicted does not return because the file still has its row', (t) => {
  const found = salvaged(t, (log) => {
    const frames = Math.floor((log.length - HEADER) / FRAME);
    flipIn(log, frames - 8);
  });
  assert.notEqual(found.damage, '');
  holds(found);
  const settled = new Set([...template.shipped, ...template.dead, ...template.evicted]);
  assert.deepEqual(
    found.sent.filter((seq) => settled.has(seq)),
    [],
  );
  assert.deepEqual(found.dead, template.dead);
  assert.equal(found.byLedger.accepted, ROWS);
});

test('whatever is flipped in a log, a reading has one state, and ledger and account agree', (t) => {
  const place = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });
  fc.assert(
    fc.property(fc.array(place, { minLength: 1, maxLength: 20 }), (places) => {
      const found = salvaged(t, (log) => {
        for (const share of places) {
          const at = Math.floor(share * (log.length - 10 * FRAME));
          log[at] = (log[at] ?? 0) ^ 0xa5;
        }
      });
      holds(found);
    }),
    { numRuns: 40, includeErrorInReport: true },
  );
});

/** A closed file: 100 readings, of which 1-10 and 51-100 are shipped. */
function partlyShipped(t: TestContext): string {
  const folder = tempDir(t);
  const queue = openFile(folder);
  queue.commit([appendOf(1, 100)]);
  const ids = [...takeFrom(queue, 100, 1_000_000).ids];
  queue.shipped(Float64Array.from(ids.filter((id) => id <= 10)));
  queue.shipped(Float64Array.from(ids.filter((id) => id > 50)));
  queue.commit([]);
  queue.close();
  return folder;
}

/** Opens the file, which salvages it if it is damaged, and reads the account of its run. */
function accountCounts(folder: string): Found['byAudit'] {
  const queue = openFile(folder);
  const found = queue.showRun(RUN, 'test-box', null);
  queue.close();
  assert.ok(found.kind === 'account', 'the run has an account');
  return found.account.counts;
}

test('a reading that is lost does not vanish behind one that comes back although it was shipped', (t) => {
  const folder = partlyShipped(t);
  // The span of 1 to 10 is damaged and row 5 is back; rows 20 and 21 cannot be read.
  const database = openDatabase(fileOf(folder));
  database.exec(`CREATE TEMP TABLE returned AS SELECT * FROM rows WHERE seq = 20;
    UPDATE spans SET crc = crc + 1 WHERE first = 1;
    DELETE FROM rows WHERE seq IN (20, 21);`);
  const row = database.prepare('SELECT * FROM returned').get() as StoredRow;
  insertRows(database)({ ...row, id: 5, seq: 5, data: row.data.replace('"seq":20', '"seq":5') });
  database.close();
  const counts = accountCounts(folder);
  assert.deepEqual(
    { queued: counts.queued, shipped: counts.shipped, evicted: counts.evicted },
    { queued: 39, shipped: 50, evicted: 0 },
  );
  assert.equal(counts.unknown, 11, '9 were shipped and 2 are lost, and the account does not know which');
  const contents = contentsOf(folder);
  assert.equal(contents.state.evictedBy['damaged'], 1, 'the numbers alone show one');
  assert.match(contents.state.damage, /39 readings .* 1 lost; unknown: whether 11 readings were shipped or are lost$/);
});

test('damage counts as evicted in the account only as far as the ledger counts it, whatever was damaged before', (t) => {
  const folder = partlyShipped(t);
  const harm = (sql: string): void => {
    const database = openDatabase(fileOf(folder));
    database.exec(sql);
    database.close();
    openFile(folder).close();
  };
  harm('DELETE FROM rows WHERE seq BETWEEN 20 AND 39');
  harm('UPDATE spans SET crc = crc + 1 WHERE first = 1');
  const counts = accountCounts(folder);
  const { state } = contentsOf(folder);
  assert.equal(state.evictedBy['damaged'], 20);
  assert.deepEqual({ evicted: counts.evicted, unknown: counts.unknown }, { evicted: 20, unknown: 10 }, state.damage);
});
