import assert from 'node:assert/strict';
import { mkdirSync, rmdirSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { LOCAL_STREAM_REASON_HEADER } from '../../contract/local-stream-status.ts';
import { LocalKinesisService } from '../../local-kinesis/service.ts';
import { freePort } from '../support/free-port.ts';
import { eventually } from '../support/eventually.ts';
import { tempDir } from '../support/temp-dir.ts';
import { testConfig, testLog } from '../support/test-config.ts';

test('a file that cannot be opened now is tried again: the stream says so meanwhile, and needs no restart', async (t) => {
  const config = testConfig({ DATA_DIR: tempDir(t), LOCAL_KINESIS_PORT: String(await freePort()) });
  const file = path.join(config.DATA_DIR, 'local-kinesis.db');
  // SQLite cannot open a folder, and gives the code that it gives for a disk that fails: SQLITE_CANTOPEN.
  mkdirSync(file);
  const stream = new LocalKinesisService({ config, log: testLog(config) });
  t.after(() => stream.stop());
  await stream.start();
  const list = async (): Promise<string> => {
    const answer = await fetch(`http://127.0.0.1:${stream.port}/`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': 'Kinesis_20131202.ListStreams' },
      body: '{}',
    });
    return `${answer.headers.get(LOCAL_STREAM_REASON_HEADER)} ${await answer.text()}`;
  };
  assert.match(await list(), /^local_stream_file .*InternalFailure.*tried again/);
  rmdirSync(file);
  await eventually(async () => (await list()).includes(config.KINESIS_STREAM));
});
