/** Milliseconds from `npm start` (compiled, empty DATA_DIR, simulated straps) to the first record in the stream. */
import { setTimeout as sleep } from 'node:timers/promises';
import { startProduct } from './child.ts';
import { withScratch } from './scratch.ts';

export async function firstRecordMs(): Promise<number> {
  return await withScratch(async (scratch) => {
    const began = performance.now();
    const child = startProduct(scratch, 'start', {
      DATA_DIR: scratch.folder(),
      GATEWAY_NAME: 'bench',
      MQTT_LISTEN_PORT: '0',
      MQTT_LISTEN_WS_PORT: '0',
      ADMIN_PORT: '0',
      LOCAL_KINESIS_PORT: '0',
      BLE_SOURCE: 'simulated',
      SIMULATED_STRAPS: '1',
    });
    const { port } = await child.line(({ event, service }) => event === 'listening' && service === 'local-kinesis');
    const ask = async (operation: string, input: object): Promise<Record<string, unknown>> => {
      const answer = await fetch(`http://127.0.0.1:${String(port)}`, {
        method: 'POST',
        headers: { 'x-amz-target': `Kinesis_20131202.${operation}`, 'content-type': 'application/x-amz-json-1.1' },
        body: JSON.stringify(input),
      });
      return (await answer.json()) as Record<string, unknown>;
    };
    for (;;) {
      const { ShardIterator } = await ask('GetShardIterator', {
        StreamName: 'hr-data-stream',
        ShardId: 'shardId-000000000000',
        ShardIteratorType: 'TRIM_HORIZON',
      });
      const { Records } = await ask('GetRecords', { ShardIterator });
      if (Array.isArray(Records) && Records.length > 0) return performance.now() - began;
      if (performance.now() - began > 60_000) throw new Error(`no reading within 60 s\n${child.output()}`);
      await sleep(220);
    }
  });
}
