import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { connectAsync } from 'mqtt';
import { cannotRun } from '../../support/cannot-run.ts';
import { eventually } from '../../support/eventually.ts';
import { pythonWith } from '../../support/python-venv.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { getJson, startOneProcess, type QueueAnswer } from './support/one-process.ts';

const run = promisify(execFile);

function mosquittoSub(): string | undefined {
  return (process.env['PATH'] ?? '')
    .split(':')
    .map((folder) => path.join(folder, 'mosquitto_sub'))
    .find((file) => existsSync(file));
}

const missing = (t: TestContext, what: string): void => cannotRun(t, `${what} is not installed`);

const BOTO3 = `
import boto3, json, sys
client = boto3.client('kinesis', endpoint_url=sys.argv[1], region_name='us-east-1', aws_access_key_id='x', aws_secret_access_key='y')
out = []
for shard in client.list_shards(StreamName='hr-data-stream')['Shards']:
    it = client.get_shard_iterator(StreamName='hr-data-stream', ShardId=shard['ShardId'], ShardIteratorType='TRIM_HORIZON')['ShardIterator']
    out += [json.loads(r['Data']) for r in client.get_records(ShardIterator=it)['Records']]
print(json.dumps(out))
`;

describe('clients that share no code with us', () => {
  test('mosquitto_sub, MQTT over WebSocket and boto3 read what the straps sent', async (t) => {
    const product = startOneProcess(t, tempDir(t));
    const at = await product.addresses();
    const program = mosquittoSub();
    if (program === undefined) return missing(t, 'mosquitto_sub (Debian: mosquitto-clients)');
    const { stdout } = await run(program, [
      '-h',
      '127.0.0.1',
      '-p',
      String(at.mqttPort),
      '-t',
      'hr/+/bpm',
      '-C',
      '2',
      '-W',
      '30',
    ]);
    const lines = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { heart_rate: number });
    assert.equal(lines.length, 2);
    assert.ok(lines.every(({ heart_rate }) => heart_rate > 30 && heart_rate < 230));

    const browser = await connectAsync(`ws://127.0.0.1:${at.wsPort}`, { protocolVersion: 4, reconnectPeriod: 0 });
    t.after(() => browser.end(true));
    const received = new Promise<string>((resolve) => browser.once('message', (_topic, payload) => resolve(payload.toString())));
    await browser.subscribeAsync('hr/+/bpm');
    assert.ok((JSON.parse(await received) as { heart_rate: number }).heart_rate > 0);

    await eventually(async () => (await getJson<QueueAnswer>(`${at.admin}/queue`)).ledger.shipped >= 3);
    const python = await pythonWith('boto3', ['boto3==1.40.0']);
    if (python === undefined) return missing(t, 'Python with boto3');
    const { stdout: json } = await run(python, ['-c', BOTO3, at.stream], { maxBuffer: 64 * 1024 * 1024 });
    const records = JSON.parse(json) as { timestamp: string; heart_rate: number }[];
    assert.ok(records.length >= 3);
    assert.deepEqual(Object.keys(records[0] ?? {}).slice(0, 2), ['timestamp', 'heart_rate']);
  });
});
