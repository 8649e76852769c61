import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HrError } from '../../../service/errors/errors.ts';
import { startPatiently, type PatientStartOptions } from '../../../service/process/patient-start.ts';
import { testConfig, testLog } from '../../support/test-config.ts';

const log = testLog(testConfig({}));
const unusable = (code: string): HrError =>
  new HrError('data_dir_unusable', { operation: 'read a key', detail: code, cause: Object.assign(new Error(code), { code }) });

/** Starts that fail with these, one after the other; then one that succeeds. */
function failing(errors: readonly unknown[]): PatientStartOptions & { calls: string[] } {
  const left = [...errors];
  const calls: string[] = [];
  return {
    calls,
    log,
    retryMs: 1,
    isEnding: () => false,
    start: async () => {
      calls.push('start');
      await Promise.resolve();
      if (left.length > 0) throw left.shift();
    },
    stop: async () => void calls.push(await Promise.resolve('stop')),
  };
}

test('a start that the disk refuses is repeated until the disk allows it; what a failed one began is ended before', async () => {
  const options = failing([unusable('EIO'), unusable('EROFS')]);
  assert.equal(await startPatiently(options), true);
  assert.deepEqual(options.calls, ['start', 'stop', 'start', 'stop', 'start']);
});

test('a start that fails for another reason than a passing error of the disk is not repeated', async () => {
  const inUse = new HrError('data_dir_in_use', { operation: 'lock', detail: 'another process uses it' });
  for (const error of [unusable('EACCES'), inUse, new Error('EIO')]) {
    const options = failing([error]);
    await assert.rejects(startPatiently(options), error);
    assert.deepEqual(options.calls, ['start']);
  }
});

test('a signal ends the wait', async () => {
  const options = failing(Array.from({ length: 100 }, () => unusable('EIO')));
  const started = await startPatiently({ ...options, isEnding: () => options.calls.length >= 4 });
  assert.equal(started, false);
  assert.ok(options.calls.length < 10, `${options.calls.length} calls`);
});
