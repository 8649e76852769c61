import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { CommitTimer } from '../../../forwarder/queue/commit-timer.ts';

const INTERVAL_MS = 100;

interface Bench {
  timer: CommitTimer;
  /** When commits were made, in ms since the start. */
  commits: number[];
  /** A reading arrives. */
  append(): void;
  advance(ms: number): void;
}

function start(t: TestContext): Bench {
  t.mock.timers.enable({ apis: ['setTimeout', 'setImmediate'] });
  let nowMs = 1000;
  t.mock.method(performance, 'now', () => nowMs);
  const commits: number[] = [];
  const timer: CommitTimer = new CommitTimer(INTERVAL_MS, () => {
    timer.clear();
    commits.push(nowMs - 1000);
    timer.committed();
  });
  const advance = (ms: number): void => {
    for (let passed = 0; passed < ms; passed += 1) {
      nowMs += 1;
      t.mock.timers.tick(1);
    }
  };
  return { timer, commits, append: () => timer.schedule({ isUrgent: true, rows: 1 }), advance };
}

test('readings that reach an idle queue within milliseconds of each other are all committed at once', (t) => {
  const { commits, append, advance } = start(t);
  for (let packet = 0; packet < 3; packet += 1) {
    append();
    advance(5);
  }
  assert.equal(commits.length, 3);
  assert.ok((commits[2] ?? Infinity) <= 15, `committed at ${commits.join(', ')} ms`);
});

test('a busy queue commits once per interval, and no reading waits for longer', (t) => {
  const { commits, append, advance } = start(t);
  for (let ms = 0; ms < 2000; ms += 1) {
    append();
    advance(1);
  }
  assert.ok(commits.length <= 2000 / INTERVAL_MS + 3, `${commits.length} commits in 2 s`);
  const pauses = commits.slice(1).map((at, index) => at - (commits[index] ?? 0));
  assert.ok(Math.max(...pauses) <= INTERVAL_MS + 2, `pauses of ${pauses.join(', ')} ms`);
});

test('500 pending rows are committed at once, and do not make later readings wait for longer than an interval', (t) => {
  const { timer, commits, append, advance } = start(t);
  for (let full = 0; full < 20; full += 1) {
    timer.schedule({ isUrgent: true, rows: 500 });
    advance(1);
  }
  assert.equal(commits.length, 20);
  append();
  advance(INTERVAL_MS + 2);
  assert.equal(commits.length, 21);
});
