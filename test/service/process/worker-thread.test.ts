import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { beatMemory } from '../../../service/process/beats.ts';
import { startWorker } from '../../../service/process/worker-thread.ts';
import { eventually } from '../../support/eventually.ts';

const watched = (): number =>
  new Int32Array(beatMemory.counters).subarray(beatMemory.slots, 2 * beatMemory.slots).filter((flag) => flag === 1).length;

test('a thread is watched from its start until it exits', async (t) => {
  const worker = startWorker(import.meta.url, '../support/fixture-worker');
  t.after(() => worker.terminate());
  assert.equal(watched(), 1);
  assert.deepEqual(await once(worker, 'message'), [{ kind: 'waiting' }]);
  worker.postMessage('continue');
  assert.deepEqual(await once(worker, 'message'), [{ kind: 'ready' }]);
  assert.equal(watched(), 1);
  await worker.terminate();
  await eventually(() => watched() === 0);
});
