/** Reads the local stream until it holds ROWS records, as a process of its own; says how many a second came, by their times of arrival. */
import { setTimeout as sleep } from 'node:timers/promises';
import { GetRecordsCommand, GetShardIteratorCommand, KinesisClient } from '@aws-sdk/client-kinesis';
import { NodeHttpHandler } from '@smithy/node-http-handler';

const wanted = Number(process.env['ROWS']);
const client = new KinesisClient({
  endpoint: `http://127.0.0.1:${process.env['LOCAL_KINESIS_PORT'] ?? ''}`,
  region: 'us-east-1',
  credentials: { accessKeyId: 'bench', secretAccessKey: 'bench' },
  requestHandler: new NodeHttpHandler(),
});
const stream = { StreamName: 'hr-data-stream', ShardId: 'shardId-000000000000' };
let { ShardIterator } = await client.send(new GetShardIteratorCommand({ ...stream, ShardIteratorType: 'TRIM_HORIZON' }));
const arrivals: number[] = [];
while (arrivals.length < wanted) {
  const answer = await client.send(new GetRecordsCommand({ ShardIterator })).catch(() => undefined);
  for (const { ApproximateArrivalTimestamp } of answer?.Records ?? []) arrivals.push(ApproximateArrivalTimestamp?.getTime() ?? 0);
  if (answer !== undefined) ShardIterator = answer.NextShardIterator;
  await sleep(250);
}
// The first two seconds hold the burst that the bucket had saved.
const from = arrivals.findIndex((at) => at >= (arrivals[0] ?? 0) + 2000);
const spanMs = (arrivals.at(-1) ?? 0) - (arrivals[from] ?? 0);
// Whole batches arrive at one time: the one that begins the span is not counted.
const counted = arrivals.filter((at) => at > (arrivals[from] ?? 0)).length;
console.log(JSON.stringify({ event: 'counted', perSecond: (counted * 1000) / spanMs }));
client.destroy();
