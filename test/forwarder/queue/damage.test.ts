import assert from 'node:assert/strict';
import {
  closeSync,
  copyFileSync,
  cpSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { damageReport, imbalance } from '../../../forwarder/queue/ledger.ts';
import { NewerSchemaError } from '../../../forwarder/queue/schema.ts';
import { openDatabase } from '../../../service/storage/sqlite.ts';
import { tempDir } from '../../support/temp-dir.ts';
import {
  appendOf,
  contentsOf,
  copyOf,
  fileOf,
  letterOf,
  openFile,
  readingOf,
  RUN,
  type Contents,
} from './support/queue-files.ts';

const ROWS = 1500;
const LETTERS = 3;

/** A queue as a kill leaves it: much of it written back into the file, its last commits in the log alone. */
type Cleaner = Parameters<typeof tempDir>[0];

function killedQueue(t: Cleaner): string {
  const folder = tempDir(t);
  const queue = openFile(folder);
  for (let seq = 1; seq <= ROWS - 200; seq += 100)
    queue.commit([
      appendOf(seq, 100, seq === 1 ? Array.from({ length: LETTERS }, (_, index) => letterOf(`rubbish ${index}`)) : []),
    ]);
  queue.checkpoint();
  for (let seq = ROWS - 199; seq <= ROWS; seq += 20) queue.commit([appendOf(seq, 20)]);
  const killed = copyOf(folder, path.join(tempDir(t), 'killed'));
  queue.close();
  return killed;
}

const template = killedQueue({ after: (end) => after(end as () => void) });
const asideOf = (folder: string): string[] => readdirSync(folder).filter((name) => name.startsWith('queue.damaged-'));

function flip(file: string, offsets: readonly number[]): void {
  const bytes = readFileSync(file);
  for (const offset of offsets) bytes[offset] = (bytes[offset] ?? 0) ^ 0x5a;
  writeFileSync(file, bytes);
}

/** The law of every damage: no false reading, a balanced ledger, and either every row or a report. */
function holds({ state, rows, dead, synchronous }: Contents, folder: string, isLogCut = false): void {
  assert.equal(synchronous, 2);
  assert.equal(imbalance(state), undefined);
  assert.equal(state.queued, rows.length);
  assert.equal(state.dead, dead.length);
  // A damaged page may hold a reading under any id, but each is there once, and as it was accepted.
  const seqs = rows.map(({ data }) => (JSON.parse(data) as { seq: number }).seq);
  for (const [index, { data }] of rows.entries()) assert.equal(data, readingOf(seqs[index] ?? 0));
  assert.equal(new Set(seqs).size, seqs.length, 'a reading is there twice');
  if (state.damage === '') {
    assert.equal(rows.length, ROWS, 'readings are lost and nothing is reported');
    assert.equal(dead.length, LETTERS);
    assert.deepEqual(asideOf(folder), []);
  } else {
    assert.match(state.damage, /^queue_damaged: .+; put aside as queue\.damaged-\d{4}-\d\d-\d\dT.+\.db; /);
    assert.ok(asideOf(folder).length > 0);
    // What was accepted never decreases, unless the report and the ledger say what is unknown.
    const { accepted, commitsLost } = state;
    assert.equal(/; unknown: what (all|up to \d+) commits changed/.test(state.damage), commitsLost !== undefined, state.damage);
    // A log that was cut off looks like that of a power cut, after which nothing says that there was more.
    assert.ok(isLogCut || accepted >= ROWS + LETTERS || commitsLost === null || (commitsLost ?? 0) > 0, state.damage);
  }
}

function damaged(t: Cleaner, harm: (file: string) => void): { folder: string; contents: Contents } {
  const folder = tempDir(t);
  cpSync(template, folder, { recursive: true });
  harm(fileOf(folder));
  const contents = contentsOf(folder);
  holds(contents, folder);
  return { folder, contents };
}

test('a killed queue with an intact file returns every row and reports no damage', (t) => {
  const { contents } = damaged(t, () => undefined);
  assert.equal(contents.state.damage, '');
  assert.deepEqual(contents.watermarks, [{ gateway: 'test-box', run: RUN, stored: ROWS, missed: {} }]);
});

for (const [words, harm, salvagedAtLeast] of [
  ['of zero length', (file) => truncateSync(file, 0), 0],
  ['that is missing while its log is there', (file) => rmSync(file), 0],
  [
    'that is no database',
    (file) => writeFileSync(file, 'this is a text file and not a database, for many lines '.repeat(200)),
    0,
  ],
  ['cut in half', (file) => truncateSync(file, Math.floor(statSync(file).size / 2)), 300],
  ['whose log is missing', (file) => rmSync(`${file}-wal`), ROWS - 200],
  [
    'whose log is cut to nothing but a header that is wrong',
    (file) => writeFileSync(`${file}-wal`, Buffer.alloc(5000, 7)),
    ROWS - 200,
  ],
  [
    'whose log has flipped bytes in its middle',
    (file) => flip(`${file}-wal`, [Math.floor(statSync(`${file}-wal`).size / 2)]),
    ROWS - 200,
  ],
  [
    'with flipped bytes in a page of rows',
    (file) =>
      flip(
        file,
        Array.from({ length: 40 }, (_, index) => 60_000 + 7 * index),
      ),
    1000,
  ],
  ['with one flipped bit in the text of a row', (file) => flip(file, [readFileSync(file).indexOf('"seq":700}') + 7]), ROWS - 1],
  ['with one flipped byte in its state', (file) => flip(file, [readFileSync(file).indexOf('"nextRowId"') + 2]), ROWS - 200],
] as const satisfies readonly (readonly [string, (file: string) => void, number])[])
  test(`a queue file ${words} is put aside, readable rows are kept, the ledger balances, and the report stays until acknowledged`, (t) => {
    const { folder, contents } = damaged(t, harm);
    // The log holds a newer copy of the state than the damaged one in the file.
    if (words !== 'with one flipped byte in its state') assert.match(contents.state.damage, /^queue_damaged: /);
    assert.ok(contents.rows.length >= salvagedAtLeast, `${contents.rows.length} salvaged: ${contents.state.damage}`);
    const queue = openFile(folder);
    assert.deepEqual(queue.contents().damage, damageReport(contents.state));
    const last = Math.max(ROWS, queue.watermarks[0]?.stored ?? 0);
    queue.commit([appendOf(last + 1, 3)]);
    queue.acknowledgeDamage();
    queue.close();
    const later = contentsOf(folder);
    assert.equal(later.state.damage, '');
    assert.equal(later.rows.length, contents.rows.length + 3);
    assert.equal(imbalance(later.state), undefined);
  });

test('the damaged file is kept byte for byte, with its log', (t) => {
  const folder = tempDir(t);
  cpSync(template, folder, { recursive: true });
  flip(fileOf(folder), [50_000, 50_001, 50_002, 50_100]);
  const before = ['', '-wal'].map((ending) => readFileSync(fileOf(folder) + ending));
  contentsOf(folder);
  const aside = asideOf(folder).find((name) => name.endsWith('.db')) ?? '';
  assert.deepEqual(
    ['', '-wal'].map((ending) =>
      readFileSync(path.join(folder, aside + ending)).equals(before[ending === '' ? 0 : 1] ?? Buffer.alloc(0)),
    ),
    [true, true],
  );
});

test('whatever bytes of file or log are flipped or cut off, no reading is false, the ledger balances, and loss is reported', (t) => {
  const at = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });
  const harm = fc.record({
    ending: fc.constantFrom('', '-wal'),
    offsets: fc.array(at, { maxLength: 12 }),
    cutAt: fc.option(at, { nil: undefined, freq: 4 }),
  });
  fc.assert(
    fc.property(fc.array(harm, { minLength: 1, maxLength: 2 }), (harms) => {
      const folder = tempDir(t);
      cpSync(template, folder, { recursive: true });
      let tornEnd = false;
      for (const { ending, offsets, cutAt } of harms) {
        const file = fileOf(folder) + ending;
        const { size } = statSync(file);
        flip(
          file,
          offsets.map((offset) => Math.floor(offset * size)).filter((offset) => ending !== '' || offset < 60 || offset >= 64),
        );
        if (cutAt !== undefined) truncateSync(file, Math.floor(cutAt * size));
        // A power cut leaves a log without the commits that were not synced: a log that was cut off later looks the same.
        if (ending === '-wal') tornEnd ||= cutAt !== undefined || offsets.some((offset) => offset * size > size - 40_000);
      }
      const contents = contentsOf(folder);
      if (tornEnd && contents.state.damage === '') {
        assert.equal(imbalance(contents.state), undefined);
        for (const { id, data } of contents.rows) assert.equal(data, readingOf(id));
      } else holds(contents, folder, tornEnd);
      rmSync(folder, { recursive: true });
    }),
    { numRuns: 60, includeErrorInReport: true },
  );
});

/** Where the table has a row: its varint of the id has two bytes, right before the header of the row. */
function idAt(bytes: Buffer, seq: number): number {
  const data = bytes.indexOf(readingOf(seq));
  assert.ok(data > 0, 'the row is in the file');
  for (let at = data; at > data - 60; at -= 1)
    if (bytes[at] === (((seq >> 7) & 0x7f) | 0x80) && bytes[at + 1] === (seq & 0x7f)) return at;
  throw new Error('no id before the row');
}

test('a reading under the id of another one is kept, and so is the other one', (t) => {
  for (const [seq, other] of [
    [700, 900],
    [900, 700],
    [700, 16_000],
  ] as const) {
    const { contents } = damaged(t, (file) => {
      const bytes = readFileSync(file);
      const at = idAt(bytes, seq);
      bytes.writeUInt16BE(((((other >> 7) & 0x7f) | 0x80) << 8) | (other & 0x7f), at);
      // Found at the start, by a row that is lost.
      const lost = bytes.indexOf(readingOf(300));
      bytes[lost + 5] = (bytes[lost + 5] ?? 0) ^ 1;
      writeFileSync(file, bytes);
    });
    const found = new Set(contents.rows.map(({ data }) => (JSON.parse(data) as { seq: number }).seq));
    assert.deepEqual(
      Array.from({ length: ROWS }, (_, index) => index + 1).filter((each) => !found.has(each)),
      [300],
      `${seq} under the id ${other}`,
    );
  }
});

test('a power cut during a replacement loses no salvaged row', (t) => {
  const folder = tempDir(t);
  cpSync(template, folder, { recursive: true });
  flip(fileOf(folder), [readFileSync(fileOf(folder)).indexOf('"seq":700}') + 7]);
  const before = tempDir(t);
  cpSync(folder, before, { recursive: true });
  const salvaged = contentsOf(folder).rows.length;
  const aside = asideOf(folder).find((name) => name.endsWith('.db')) ?? '';
  const stamp = aside.slice('queue.damaged-'.length, -'.db'.length);
  // The replacement stands, and none, one or both of the damaged file's parts have been put aside.
  for (const movedParts of [[], ['-wal'], ['-wal', '']]) {
    const cut = tempDir(t);
    cpSync(before, cut, { recursive: true });
    copyFileSync(fileOf(folder), path.join(cut, `queue.replacement-${stamp}.db`));
    for (const part of movedParts) renameSync(fileOf(cut) + part, path.join(cut, aside + part));
    const { rows, state } = contentsOf(cut);
    assert.equal(rows.length, salvaged);
    assert.match(state.damage, /salvaged/);
    assert.ok(asideOf(cut).includes(aside) && asideOf(cut).includes(`${aside}-wal`));
  }
});

test('a queue of a newer version is refused, and the file and its log stay unchanged', (t) => {
  const folder = tempDir(t);
  const writer = openFile(folder);
  writer.commit([appendOf(1, 3)]);
  const database = openDatabase(fileOf(folder));
  database.pragma('user_version = 99');
  const newer = copyOf(folder, path.join(tempDir(t), 'newer'));
  database.close();
  const before = readdirSync(newer).map((name) => [name, readFileSync(path.join(newer, name)).toString('hex')]);
  assert.ok(before.some(([name]) => name === 'queue.db-wal'));
  assert.throws(() => contentsOf(newer), NewerSchemaError);
  assert.deepEqual(
    readdirSync(newer)
      .filter((name) => !name.endsWith('-shm'))
      .map((name) => [name, readFileSync(path.join(newer, name)).toString('hex')]),
    before,
  );
  const fd = openSync(fileOf(folder), 'r+');
  writeSync(fd, Buffer.from([0]), 0, 1, 0);
  closeSync(fd);
});

test('a torn log header during the very first commit is no damage: that commit was never acknowledged', (t) => {
  const folder = tempDir(t);
  const queue = openFile(folder);
  queue.commit([appendOf(1, 3)]);
  queue.close();
  const writer = openFile(folder);
  writer.checkpoint();
  writer.commit([appendOf(4, 1)]);
  const cut = copyOf(folder, path.join(tempDir(t), 'cut'));
  writer.close();
  const wal = `${fileOf(cut)}-wal`;
  flip(
    wal,
    Array.from({ length: 32 }, (_, index) => index),
  );
  const { state, rows } = contentsOf(cut);
  assert.equal(state.damage, '');
  assert.equal(rows.length, 3);
});

test('an unfinished new file is ignored, and a new one is created', (t) => {
  const folder = tempDir(t);
  writeFileSync(path.join(folder, 'queue.unfinished.db'), 'half');
  writeFileSync(path.join(folder, 'queue.unfinished.db-wal'), 'half');
  const { state, rows } = contentsOf(folder);
  assert.equal(state.damage, '');
  assert.equal(rows.length, 0);
});
