import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Intake } from '../../../forwarder/intake/intake.ts';
import type { Append } from '../../../forwarder/queue/queue-messages.ts';
import { testConfig, testLog } from '../../support/test-config.ts';

const RUN = '0123456789abcdef';
const reading = (run: string, seq: number): Buffer =>
  Buffer.from(
    `{"timestamp":"2026-11-22T19:00:00.123Z","heart_rate":72,"device":"strap","gateway":"g","run":"${run}","seq":${seq}}`,
  );

test('hundreds of other runs do not make a bridge that goes on begin anew: none of its readings is taken twice, or forgotten', () => {
  const appends: Append[] = [];
  const taken: string[] = [];
  const intake = new Intake({
    queue: { append: (append) => appends.push(append) },
    log: testLog(testConfig({})),
    window: 100,
    gateway: 'g',
    publish: () => true,
  });
  intake.start([]);
  const live = (run: string, seq: number): void => intake.subscriptions['hr/+/bpm']?.('hr/strap/bpm', reading(run, seq), false);
  for (let seq = 1; seq <= 1000; seq += 1) {
    live(RUN, seq);
    live(`a${seq.toString(16).padStart(15, '0')}`, 1);
    // Commits lag behind: some of what was taken is always pending.
    if (seq % 7 === 0)
      intake.committed(
        appends.splice(0, appends.length - 5).flatMap(({ watermarks, rows }) => {
          taken.push(...rows.data);
          return watermarks;
        }),
      );
  }
  taken.push(...appends.flatMap(({ rows }) => rows.data));
  const ours = taken.map((data) => JSON.parse(data) as { run: string; seq: number }).filter(({ run }) => run === RUN);
  assert.deepEqual(
    ours.map(({ seq }) => seq),
    Array.from({ length: 1000 }, (_, index) => index + 1),
  );
  assert.equal(intake.duplicates, 0);
});
