/** The script that the product replaces, in JavaScript: a subscriber that calls PutRecord for each message, one after another. */
import { KinesisClient, PutRecordCommand } from '@aws-sdk/client-kinesis';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { Agent } from 'node:http';
import { connectAsync } from 'mqtt';

const client = new KinesisClient({
  endpoint: process.env['ENDPOINT'] ?? '',
  region: 'us-east-1',
  credentials: { accessKeyId: 'bench', secretAccessKey: 'bench' },
  requestHandler: new NodeHttpHandler({ httpAgent: new Agent({ keepAlive: true, noDelay: true }) }),
});
const line = await connectAsync(process.env['MQTT_URL'] ?? '', { clean: true });
let last: Promise<unknown> = Promise.resolve();
line.on('message', (_topic, payload) => {
  last = last.then(
    async () => await client.send(new PutRecordCommand({ StreamName: 'hr-data-stream', PartitionKey: 'strap', Data: payload })),
  );
});
await line.subscribeAsync('hr/+/bpm', { qos: 0 });
console.log(JSON.stringify({ event: 'subscribed' }));
