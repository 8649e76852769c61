import assert from 'node:assert/strict';
import { closeSync, copyFileSync, openSync, readFileSync, statSync, writeFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import { test, type TestContext } from 'node:test';
import { readableRows } from '../../../forwarder/queue/readable-rows.ts';
import { rowChecksum, type StoredRow } from '../../../forwarder/queue/stored-rows.ts';
import { openDatabase } from '../../../service/storage/sqlite.ts';
import { tempDir } from '../../support/temp-dir.ts';

const ROWS = 15_000;

function wholeFile(t: TestContext): string {
  const whole = path.join(tempDir(t), 'whole.db');
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
  return whole;
}

const isWhole = (row: StoredRow): boolean => rowChecksum(row) === row.crc;

function seqsIn(file: string): Set<number> {
  const database = openDatabase(file);
  const seqs = new Set<number>();
  for (const { seq } of readableRows<StoredRow>(database, 'rows', isWhole, () => undefined)) seqs.add(seq ?? 0);
  database.close();
  return seqs;
}

test('whatever part of some pages is overwritten, the rows of all other pages are found', (t) => {
  const whole = wholeFile(t);
  const { size } = statSync(whole);
  for (let shift = 0; shift < 512; shift += 23) {
    const file = `${whole}-${shift}`;
    copyFileSync(whole, file);
    const fd = openSync(file, 'r+');
    const from = Math.floor(size / 10) + shift;
    for (let at = from; at < from + 40_000; at += 512) writeSync(fd, Buffer.alloc(64, 0xee), 0, 64, at);
    closeSync(fd);
    const found = seqsIn(file);
    // 40,000 bytes are the eleven pages that are overwritten; what is in them may be lost.
    assert.ok(found.size >= ROWS - 11 * 25, `${found.size} rows found of ${ROWS}, shifted by ${shift}`);
  }
});

/** A leaf of a table, whose first cells begin with the size of the row, in two bytes, and its id, here in two. */
const LEAF = 0x0d;
const TWO_BYTES = 0x80;

for (const cells of [1, 2, 5])
  for (const isPayloadOverwritten of [false, true])
    test(`${cells} ids that are any number${isPayloadOverwritten ? ', in overwritten rows,' : ''} hide no other row`, (t) => {
      const file = wholeFile(t);
      const bytes = readFileSync(file);
      const pageSize = bytes.readUInt16BE(16);
      let page = 10 * pageSize;
      while (bytes[page] !== LEAF) page += pageSize;
      for (let cell = 0; cell < cells; cell += 1) {
        const at = page + bytes.readUInt16BE(page + 8 + 2 * cell);
        for (const [byte, isFirst] of [0, 2].flatMap((from) => [[at + from, true] as const, [at + from + 1, false] as const]))
          assert.equal((bytes[byte] ?? 0) >= TWO_BYTES, isFirst, 'size and id have two bytes each');
        // As many as fit into two bytes: larger than every id before and after it.
        bytes.writeUInt16BE(0xff7f - cells + cell, at + 2);
        if (isPayloadOverwritten) bytes.fill(0xee, at + 100, at + 140);
      }
      writeFileSync(file, bytes);
      assert.ok(seqsIn(file).size >= ROWS - cells, `${seqsIn(file).size} rows found of ${ROWS}`);
    });

const idBytes = (id: number): number => ((((id >> 7) & 0x7f) | TWO_BYTES) << 8) | (id & 0x7f);

/** Where the leaves of the table are, from the tenth page on. */
function leavesIn(bytes: Buffer): { pageSize: number; leaves: number[] } {
  const pageSize = bytes.readUInt16BE(16);
  const leaves: number[] = [];
  for (let page = 10 * pageSize; page < bytes.length; page += pageSize) if (bytes[page] === LEAF) leaves.push(page);
  return { pageSize, leaves };
}

/** Gives the last cells of a leaf these ids, the last one last, and leaves their rows as they are. */
function setLastIds(bytes: Buffer, leaf: number, ids: readonly number[]): void {
  const count = bytes.readUInt16BE(leaf + 3);
  for (const [index, id] of ids.entries()) {
    const at = leaf + bytes.readUInt16BE(leaf + 8 + 2 * (count - ids.length + index));
    assert.ok((bytes[at + 2] ?? 0) >= TWO_BYTES && (bytes[at + 3] ?? 0) < TWO_BYTES, 'the id has two bytes');
    bytes.writeUInt16BE(idBytes(id), at + 2);
  }
}

for (const [what, ids] of [
  ['above all others', [16_383]],
  ['in the middle of the table', [9000]],
  ['below the page', [131]],
  ['several, rising', [8000, 9000, 16_000, 16_383]],
  ['several, falling', [16_383, 9000, 200]],
] as const)
  test(`ids that are any number before pages that cannot be read hide no other row: ${what}`, (t) => {
    const file = wholeFile(t);
    const bytes = readFileSync(file);
    const { pageSize, leaves } = leavesIn(bytes);
    let lost = 0;
    for (const index of [5, 40, 60]) {
      setLastIds(bytes, leaves[index] ?? 0, ids);
      const next = leaves[index + 1] ?? 0;
      lost += bytes.readUInt16BE(next + 3);
      bytes.fill(0xee, next, next + pageSize);
    }
    writeFileSync(file, bytes);
    const found = seqsIn(file).size;
    assert.ok(found >= ROWS - lost, `${found} rows found of ${ROWS}, ${lost} of them in pages that cannot be read`);
  });

for (const id of [131, 16_383])
  test(`an id that is out of place, ${id}, ends no read that comes from behind`, (t) => {
    const file = wholeFile(t);
    const bytes = readFileSync(file);
    const { pageSize, leaves } = leavesIn(bytes);
    const unreadable = leaves[20] ?? 0;
    const lost = bytes.readUInt16BE(unreadable + 3);
    bytes.fill(0xee, unreadable, unreadable + pageSize);
    // So soon behind it that reading forward begins beyond.
    setLastIds(bytes, leaves[22] ?? 0, [id]);
    writeFileSync(file, bytes);
    const found = seqsIn(file).size;
    assert.ok(found >= ROWS - lost, `${found} rows found of ${ROWS}, ${lost} of them in the page that cannot be read`);
  });
