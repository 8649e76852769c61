/** Reads the local stream until it holds ROWS records, in a separate process; reports records per second by their arrival times. */
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
// Skips the first two seconds: the token bucket lets an initial burst through.
const from = arrivals.findIndex((at) => at >= (arrivals[0] ?? 0) + 2000);
const spanMs = (arrivals.at(-1) ?? 0) - (arrivals[from] ?? 0);
// The records of a batch share one arrival time: the batch that begins the span is not counted.
const counted = arrivals.filter((at) => at > (arrivals[from] ?? 0)).length;
console.log(JSON.stringify({ event: 'counted', perSecond: (counted * 1000) / spanMs }));
client.destroy();
