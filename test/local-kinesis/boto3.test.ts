import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { cannotRun } from '../support/cannot-run.ts';
import { kinesisPython } from '../support/kinesis-python.ts';
import { startLocalStream } from '../support/local-stream.ts';

test('boto3 can use each operation that is supported, and is refused each other one by name', async (t) => {
  const python = await kinesisPython();
  if (python === undefined) return cannotRun(t, 'no Python with boto3');
  const { endpoint } = await startLocalStream(t, { LOCAL_KINESIS_LIMITS: 'false' });
  const script = fileURLToPath(new URL('consumers/python/boto3_operations.py', import.meta.url));
  const { stdout } = await promisify(execFile)(python, [script, endpoint]);
  assert.match(stdout, /^\d+ operations, \d+ tried\n$/);
});
