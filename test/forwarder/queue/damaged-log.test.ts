import assert from 'node:assert/strict';
import { cpSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, test, type TestContext } from 'node:test';
import fc from 'fast-check';
import { imbalance } from '../../../forwarder/queue/ledger.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { appendOf, contentsOf, copyOf, fileOf, openFile, readingOf, type Contents, takeFrom } from './support/queue-files.ts';

const HEADER = 32;
const FRAME = 24 + 1024;
const WRITTEN_BACK = 600;
const IN_LOG = 480;
const COMMITS = 40;
const ROWS = WRITTEN_BACK + IN_LOG;

/** A queue as a kill leaves it: its first rows in the file, 40 commits of 12 rows in the log. No row was shipped. */
function killedQueue(t: Parameters<typeof tempDir>[0]): string {
  const folder = tempDir(t);
  const queue = openFile(folder);
  queue.commit([appendOf(1, WRITTEN_BACK)]);
  queue.checkpoint();
  for (let from = WRITTEN_BACK + 1; from <= ROWS; from += IN_LOG / COMMITS) queue.commit([appendOf(from, IN_LOG / COMMITS)]);
  const killed = copyOf(folder, path.join(tempDir(t), 'killed'));
  queue.close();
  return killed;
}

const template = killedQueue({ after: (end) => after(end as () => void) });

function damaged(t: TestContext, harm: (log: Buffer) => void): Contents {
  const folder = tempDir(t);
  cpSync(template, folder, { recursive: true });
  const log = readFileSync(`${fileOf(folder)}-wal`);
  harm(log);
  writeFileSync(`${fileOf(folder)}-wal`, log);
  const contents = contentsOf(folder);
  rmSync(folder, { recursive: true });
  return contents;
}

/** Where the frames begin that end a commit. */
const commitFrames = (log: Buffer): number[] =>
  Array.from({ length: Math.floor((log.length - HEADER) / FRAME) }, (_, index) => HEADER + index * FRAME).filter(
    (at) => log.readUInt32BE(at + 4) > 0,
  );

/** Flips one byte in the page of a frame. */
const flipIn = (log: Buffer, frameAt: number, offset = 700): void => {
  log[frameAt + 24 + offset] = (log[frameAt + 24 + offset] ?? 0) ^ 0x5a;
};

function holds({ state, rows, watermarks }: Contents): void {
  assert.equal(imbalance(state), undefined);
  assert.equal(state.queued, rows.length);
  for (const { id, data } of rows) assert.equal(data, readingOf(id));
  const lost = state.evictedBy['damaged'] ?? 0;
  const unknown = state.commitsLost ?? 0;
  // A commit holds 12 readings: whatever is in no count is in the unknown commits.
  assert.ok(rows.length + lost + 12 * unknown >= ROWS, `${rows.length} rows, ${lost} lost, ${unknown} commits: ${state.damage}`);
  const stored = watermarks[0]?.stored ?? 0;
  assert.ok(stored <= state.accepted, `watermark ${stored}, accepted ${state.accepted}`);
}

test('the commits behind one damaged frame are salvaged: at most the rows of that page are lost, and they are counted', (t) => {
  const contents = damaged(t, (log) => flipIn(log, commitFrames(log)[9] ?? 0));
  holds(contents);
  const { state, rows, watermarks } = contents;
  assert.ok(rows.length >= ROWS - 5, `${rows.length}: ${state.damage}`);
  assert.equal(state.accepted, ROWS, 'accepted is what it was');
  assert.equal(state.evictedBy['damaged'] ?? 0, ROWS - rows.length);
  assert.equal(state.commitsLost, undefined);
  assert.equal(watermarks[0]?.stored, ROWS);
});

test('if the last commits are damaged, too, the report and the ledger say how many commits are unknown', (t) => {
  const contents = damaged(t, (log) => {
    const commits = commitFrames(log);
    flipIn(log, commits[9] ?? 0);
    for (const at of commits.slice(-3)) log.fill(0xee, at + 24, at + FRAME);
    // The state is in the frames of these commits.
    for (let at = (commits.at(-4) ?? 0) + FRAME; at < log.length; at += FRAME) log.fill(0xee, at + 24, at + FRAME);
  });
  holds(contents);
  const { state } = contents;
  assert.equal(state.commitsLost, 3);
  assert.match(state.damage, /; unknown: what up to 3 commits changed$/);
  assert.ok(state.accepted >= ROWS - 36);
});

test('a log with a damaged header is salvaged as a whole', (t) => {
  const contents = damaged(t, (log) => log.fill(7, 0, HEADER));
  holds(contents);
  assert.ok(contents.rows.length >= ROWS - 12, contents.state.damage);
  assert.equal(contents.state.accepted, ROWS);
});

test('a row that was shipped in a lost commit comes back, and what was accepted stays', (t) => {
  const folder = tempDir(t);
  const queue = openFile(folder);
  queue.commit([appendOf(1, 100)]);
  queue.checkpoint();
  queue.shipped(takeFrom(queue, 50, 1_000_000).ids);
  for (let from = 101; from <= 130; from += 10) queue.commit([appendOf(from, 10)]);
  const killed = copyOf(folder, path.join(tempDir(t), 'killed'));
  queue.close();
  const log = readFileSync(`${fileOf(killed)}-wal`);
  log.fill(0xee, HEADER + 24, HEADER + FRAME);
  log.fill(0xee, HEADER + FRAME + 24, HEADER + 2 * FRAME);
  writeFileSync(`${fileOf(killed)}-wal`, log);
  const { state, rows } = contentsOf(killed);
  assert.equal(imbalance(state), undefined);
  assert.equal(state.accepted, 130);
  for (let seq = 51; seq <= 130; seq += 1)
    assert.ok(rows.some(({ id }) => id === seq) || (state.evictedBy['damaged'] ?? 0) > 0, `${seq} is in no account`);
});

test('a log that is missing: the report says up to how many commits are unknown', (t) => {
  const folder = tempDir(t);
  cpSync(template, folder, { recursive: true });
  rmSync(`${fileOf(folder)}-wal`);
  const { state, rows } = contentsOf(folder);
  assert.equal(rows.length, WRITTEN_BACK);
  assert.ok((state.commitsLost ?? 0) >= COMMITS);
  assert.match(state.damage, /; unknown: what up to \d+ commits changed$/);
});

test('whatever is flipped in a log, every reading is in the queue, counted as lost, or in an unknown commit', (t) => {
  const at = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });
  fc.assert(
    fc.property(fc.array(at, { minLength: 1, maxLength: 30 }), (places) => {
      const contents = damaged(t, (log) => {
        // The last commit alone may be torn by a power cut, and then it was never acknowledged.
        const end = commitFrames(log).at(-2) ?? log.length;
        for (const place of places) {
          const offset = Math.floor(place * end);
          log[offset] = (log[offset] ?? 0) ^ 0xa5;
        }
      });
      if (contents.state.damage === '') assert.equal(contents.rows.length, ROWS);
      else holds(contents);
    }),
    { numRuns: 60, includeErrorInReport: true },
  );
});

test('a cut-off log is a power cut, not damage', (t) => {
  const folder = tempDir(t);
  cpSync(template, folder, { recursive: true });
  const wal = `${fileOf(folder)}-wal`;
  truncateSync(wal, statSync(wal).size - 100);
  const { state, rows } = contentsOf(folder);
  assert.equal(state.damage, '');
  assert.equal(rows.length, ROWS - IN_LOG / COMMITS);
});

test('a last commit that is torn is not salvaged as a commit, although the log is damaged before it', (t) => {
  const log = readFileSync(`${fileOf(template)}-wal`);
  const [before = 0, last = 0] = commitFrames(log).slice(-2);
  const committed = ROWS - IN_LOG / COMMITS;
  for (const damagedCommit of [2, 20, COMMITS - 2])
    // At least one frame of the last commit was written: so the one before it had been synced.
    for (let tornAt = before + 2 * FRAME; tornAt <= last; tornAt += FRAME) {
      const { state, rows, watermarks } = damaged(t, (image) => {
        flipIn(image, commitFrames(image)[damagedCommit] ?? 0);
        image.fill(0, tornAt);
      });
      const place = `commit ${damagedCommit} damaged, torn at ${(tornAt - before) / FRAME}: ${state.damage}`;
      assert.notEqual(state.damage, '', place);
      assert.equal(imbalance(state), undefined);
      assert.ok(
        rows.every(({ id, data }) => id <= committed && data === readingOf(id)),
        place,
      );
      const isKnown = damagedCommit < COMMITS - 2 || state.commitsLost === undefined;
      if (isKnown) assert.equal(state.accepted, committed, place);
      if (isKnown) assert.equal(watermarks[0]?.stored, committed, place);
      const unknown = state.commitsLost ?? 0;
      assert.ok(rows.length + (state.evictedBy['damaged'] ?? 0) + 12 * unknown >= committed, `${rows.length} rows, ${place}`);
      assert.ok(unknown <= 1 && rows.length >= committed - 12, `${rows.length} rows, ${place}`);
    }
});
