import assert from 'node:assert/strict';
import { cpSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { Append, QueueReply } from '../../../forwarder/queue/queue-messages.ts';
import { QueueThread } from '../../../forwarder/queue/queue-thread.ts';
import { eventually } from '../../support/eventually.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { fileOf, openFile, readingOf, RUN } from './support/queue-files.ts';

const EARLIER_ROWS = 40_000;

/** Readings of a strap. */
function readingsOf(device: string, from: number, count: number): Append {
  const seqs = Array.from({ length: count }, (_, index) => from + index);
  return {
    rows: {
      data: seqs.map((seq) => readingOf(seq, { device, sensor_contact: true })),
      devices: seqs.map(() => device),
      sources: seqs.map(() => 0),
    },
    dead: [],
    watermarks: [{ gateway: 'test-box', run: RUN, stored: from + count - 1, missed: {} }],
  };
}

test('the first eviction after a file was replaced counts its rows in steps, serves what comes meanwhile, and is fair', async (t) => {
  const folder = tempDir(t);
  const queue = openFile(folder);
  // The oldest rows are those of a strap with a small share.
  for (let from = 1; from <= EARLIER_ROWS; from += 5000) queue.commit([readingsOf(from === 1 ? 'small' : 'large', from, 5000)]);
  queue.close();
  // One damaged row: the start replaces the file.
  const bytes = readFileSync(fileOf(folder));
  bytes.write('X', bytes.indexOf('"seq":300,') + 1);
  writeFileSync(fileOf(folder), bytes);
  const replaced = path.join(tempDir(t), 'replaced');
  cpSync(folder, replaced, { recursive: true });
  openFile(replaced).close();
  const { size } = statSync(fileOf(replaced));

  const replies: QueueReply[] = [];
  const thread = new QueueThread(
    {
      file: fileOf(folder),
      gateway: 'test-box',
      commitIntervalMs: 0,
      maxBytes: size - 10_000,
      minFreeDiskBytes: 0,
      auditDays: 90,
      whenFull: 'evict-oldest',
      opening: new SharedArrayBuffer(4),
    },
    { postMessage: (reply) => void replies.push(reply), close: () => {} },
  );
  assert.ok(await thread.start(), 'it is open');
  t.after(() => thread.close());

  const evictions = (): number =>
    replies.reduce((sum, reply) => sum + (reply.kind === 'committed' ? reply.evicted.length : 0), 0);
  let turns = 0;
  const takenIds: number[] = [];
  thread.handle({ kind: 'append', appends: [readingsOf('large', EARLIER_ROWS + 1, 400)], epoch: 0 });
  const turn = (): void => {
    if (evictions() > 0) return;
    turns += 1;
    thread.handle({ kind: 'take', id: turns, maxRows: 10, maxBytes: 1_000_000 });
    takenIds.push(turns);
    setImmediate(turn);
  };
  turn();
  await eventually(() => evictions() > 0, { what: 'the eviction' });
  const committed = replies.findIndex((reply) => reply.kind === 'committed' && reply.rows === 400);
  const first = replies.findIndex((reply) => reply.kind === 'committed' && reply.evicted.length > 0);
  assert.ok(committed >= 0 && committed < first, 'readings are committed before the eviction');
  assert.ok(turns >= 10, `${turns} turns of the event loop before the eviction`);
  for (const id of takenIds)
    assert.ok(
      replies.some((reply) => reply.kind === 'taken' && reply.id === id && reply.rows.data.length === 10),
      `rows were taken in turn ${id}`,
    );
  const evicted = replies.flatMap((reply) => (reply.kind === 'committed' ? reply.evicted : []));
  assert.deepEqual([...new Set(evicted.map(({ device }) => device))], ['large']);
});
