/** The script that the product replaces, if Python is missing: one PutRecord per reading, one after another, with the SDK's defaults. */
import { Agent } from 'node:http';
import { KinesisClient, PutRecordCommand } from '@aws-sdk/client-kinesis';
import { NodeHttpHandler } from '@smithy/node-http-handler';

const client = new KinesisClient({
  endpoint: process.env['ENDPOINT'] ?? '',
  region: 'us-east-1',
  requestHandler: new NodeHttpHandler({ httpAgent: new Agent({ keepAlive: true }) }),
});
const data = Buffer.from(process.env['READING'] ?? '');
const seconds = Number(process.env['SECONDS']);
const put = async (): Promise<unknown> =>
  await client.send(new PutRecordCommand({ StreamName: 'bench', Data: data, PartitionKey: 'strap-1' }));

for (let i = 0; i < 5; i += 1) await put();
const began = performance.now();
const before = process.cpuUsage();
let readings = 0;
for (; performance.now() - began < seconds * 1000; readings += 1) await put();
const { user, system } = process.cpuUsage(before);
console.log(
  JSON.stringify({ event: 'done', readings, seconds: (performance.now() - began) / 1000, cpu_seconds: (user + system) / 1e6 }),
);
client.destroy();
