import assert from 'node:assert/strict';
import { closeSync, copyFileSync, openSync, statSync, writeSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { readableRows } from '../../../forwarder/queue/readable-rows.ts';
import { rowChecksum, type StoredRow } from '../../../forwarder/queue/stored-rows.ts';
import { openDatabase } from '../../../service/storage/sqlite.ts';
import { tempDir } from '../../support/temp-dir.ts';

const ROWS = 20_000;

test('whatever part of some pages is overwritten, the rows of all other pages are found', (t) => {
  const folder = tempDir(t);
  const whole = path.join(folder, 'whole.db');
  const database = openDatabase(whole);
  database.exec('CREATE TABLE rows (id INTEGER PRIMARY KEY, accepted_ms, source, device, data, crc, run, seq)');
  const insert = database.prepare('INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?)');
  database.transaction(() => {
    for (let id = 1; id <= ROWS; id += 1) {
      const row = { id, accepted_ms: id, source: 0, device: 'strap', data: 'x'.repeat(180), crc: 0, run: 1, seq: id };
      insert.run(id, id, 0, 'strap', row.data, rowChecksum(row), 1, id);
    }
  })();
  database.close();
  const { size } = statSync(whole);
  for (let shift = 0; shift < 512; shift += 23) {
    const file = path.join(folder, `damaged-${shift}.db`);
    copyFileSync(whole, file);
    const fd = openSync(file, 'r+');
    const from = Math.floor(size / 10) + shift;
    for (let at = from; at < from + 40_000; at += 512) writeSync(fd, Buffer.alloc(64, 0xee), 0, 64, at);
    closeSync(fd);
    const damaged = openDatabase(file);
    const found = new Set<number>();
    const isWhole = (row: StoredRow): boolean => rowChecksum(row) === row.crc;
    for (const { seq } of readableRows<StoredRow>(damaged, 'rows', isWhole)) found.add(seq ?? 0);
    damaged.close();
    // 40,000 bytes are the eleven pages that are overwritten; what is in them may be lost.
    assert.ok(found.size >= ROWS - 11 * 25, `${found.size} rows found of ${ROWS}, shifted by ${shift}`);
  }
});
