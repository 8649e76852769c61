import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { QueueReply } from '../../../forwarder/queue/queue-messages.ts';
import { QueueThread } from '../../../forwarder/queue/queue-thread.ts';
import { openDatabase } from '../../../service/storage/sqlite.ts';
import { eventually } from '../../support/eventually.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { appendOf, fileOf } from './support/queue-files.ts';

/** Only the thread itself shows this: how soon the main thread learns of a refusal is chance. */
test('what was sent before a refusal was known is refused too, although the queue accepts again: no seq is passed over', async (t) => {
  const folder = tempDir(t);
  const replies: QueueReply[] = [];
  const thread = new QueueThread(
    {
      file: fileOf(folder),
      gateway: 'test-box',
      commitIntervalMs: 0,
      maxBytes: 100_000_000,
      minFreeDiskBytes: 0,
      auditDays: 90,
      whenFull: 'refuse',
      opening: new SharedArrayBuffer(4),
    },
    { postMessage: (reply) => void replies.push(reply), close: () => {} },
  );
  assert.ok(await thread.start(), 'it is open');
  t.after(() => thread.close());
  const epochs = (): number[] => replies.flatMap((reply) => (reply.kind === 'refused' ? [reply.epoch] : []));
  const committed = (): number => replies.reduce((sum, reply) => sum + (reply.kind === 'committed' ? reply.rows : 0), 0);

  const other = openDatabase(fileOf(folder));
  other.exec('BEGIN IMMEDIATE');
  thread.handle({ kind: 'append', appends: [appendOf(1, 5)], epoch: 0 });
  await eventually(() => epochs().length > 0, { what: 'the first readings are refused' });
  other.exec('ROLLBACK');
  other.close();
  const modes = (): string[] => replies.flatMap((reply) => ('state' in reply ? [reply.state.mode] : []));
  await eventually(() => modes().at(-1) === 'open', { what: 'the queue accepts again' });

  thread.handle({ kind: 'append', appends: [appendOf(6, 5)], epoch: 0 });
  const last = epochs().at(-1) ?? 0;
  thread.handle({ kind: 'append', appends: [appendOf(1, 10)], epoch: last });
  await eventually(() => committed() > 0, { what: 'a commit' });
  assert.equal(last, 1, 'refusing them does not raise the epoch again');
  assert.equal(committed(), 10, 'each reading once');
});
