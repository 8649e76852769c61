/** What the sequencers of another gateway can make the forwarder hold: runs that they invent take the place of their own. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OfferedRuns } from '../../../forwarder/intake/offered-runs.ts';
import { RunBounds } from '../../../forwarder/intake/run-bounds.ts';
import { RunIntake } from '../../../forwarder/intake/run-intake.ts';

const MiB = 1024 * 1024;
const idle = (gateway: string, index: number): [string, RunIntake] => {
  const run = index.toString(16).padStart(16, '0');
  return [`${gateway} ${run}`, new RunIntake({ gateway, run })];
};

test('thousands of runs of one gateway do not make the forwarder forget the runs of another one, or of this box', () => {
  const runs = new OfferedRuns('home');
  runs.add(...idle('home', 1));
  runs.add(...idle('gym-3', 1));
  for (let index = 0; index < 5000; index += 1) runs.add(...idle('gym-2', index));
  assert.ok(runs.get(idle('home', 1)[0]) !== undefined, 'of this box');
  assert.ok(runs.get(idle('gym-3', 1)[0]) !== undefined, 'of another box');
  assert.ok([...runs.all].length <= 202, `${[...runs.all].length} runs`);
  assert.ok(runs.get(idle('gym-2', 4999)[0]) !== undefined, 'the newest');
  assert.equal(runs.get(idle('gym-2', 0)[0]), undefined);
  // This box itself may have many; they go before those of others once there are too many in all.
  for (let index = 0; index < 1500; index += 1) runs.add(...idle('home', index + 2));
  assert.ok([...runs.all].length <= 1000, `${[...runs.all].length} runs`);
  assert.ok(runs.get(idle('gym-3', 1)[0]) !== undefined, 'of another box');
});

test('a gateway may begin some runs at once and some a minute, this box any number', () => {
  let nowMs = 0;
  const bounds = new RunBounds('home', () => nowMs);
  const begun = (gateway: string, count: number): number =>
    Array.from({ length: count }, () => bounds.mayBegin(gateway)).filter((may) => may).length;
  assert.equal(begun('gym-2', 5000), 2000);
  assert.equal(begun('gym-3', 5), 5);
  assert.equal(begun('home', 5000), 5000);
  nowMs = 60_000;
  assert.equal(begun('gym-2', 200), 60);
});

test('what is taken and not committed is bounded by gateway and in all, not for this box', () => {
  const bounds = new RunBounds('home', () => 0);
  bounds.pending('home', 500 * MiB);
  bounds.pending('gym-2', 15 * MiB);
  assert.equal(bounds.hasRoom('gym-2'), true);
  bounds.pending('gym-2', 2 * MiB);
  assert.equal(bounds.hasRoom('gym-2'), false);
  assert.equal(bounds.hasRoom('gym-3'), true);
  assert.equal(bounds.hasRoom('home'), true);
  bounds.pending('gym-2', -17 * MiB);
  assert.equal(bounds.hasRoom('gym-2'), true);
  for (let index = 0; index < 200; index += 1) bounds.pending(`box-${index}`, MiB);
  assert.equal(bounds.hasRoom('gym-4'), false);
  bounds.reset([]);
  assert.equal(bounds.hasRoom('gym-4'), true);
});
