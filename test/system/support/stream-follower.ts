/** Reads a stream from where it read last, with GetRecords of the AWS SDK alone. */
import { GetRecordsCommand, GetShardIteratorCommand, ListShardsCommand, type KinesisClient } from '@aws-sdk/client-kinesis';
import { clientOf, type StreamReading } from '../pipeline/support/stream.ts';

const STREAM = 'hr-data-stream';

export class StreamFollower {
  /** Everything that was read so far. */
  readonly readings: StreamReading[] = [];
  readonly #client: KinesisClient;
  readonly #readTo = new Map<string, string>();

  constructor(endpoint: string) {
    this.#client = clientOf(endpoint);
  }

  /** Reads to the end of the stream, and returns what is new. */
  async read(): Promise<StreamReading[]> {
    const before = this.readings.length;
    const { Shards = [] } = await this.#client.send(new ListShardsCommand({ StreamName: STREAM }));
    for (const { ShardId = '' } of Shards) await this.#readShard(ShardId);
    return this.readings.slice(before);
  }

  async #readShard(ShardId: string): Promise<void> {
    const after = this.#readTo.get(ShardId);
    let iterator = (
      await this.#client.send(
        new GetShardIteratorCommand({
          StreamName: STREAM,
          ShardId,
          ...(after === undefined
            ? { ShardIteratorType: 'TRIM_HORIZON' }
            : { ShardIteratorType: 'AFTER_SEQUENCE_NUMBER', StartingSequenceNumber: after }),
        }),
      )
    ).ShardIterator;
    while (iterator !== undefined) {
      const answer = await this.#client.send(new GetRecordsCommand({ ShardIterator: iterator, Limit: 10_000 }));
      const records = answer.Records ?? [];
      for (const record of records) {
        this.readings.push(JSON.parse(Buffer.from(record.Data ?? []).toString()) as StreamReading);
        if (record.SequenceNumber !== undefined) this.#readTo.set(ShardId, record.SequenceNumber);
      }
      if (records.length === 0 && (answer.MillisBehindLatest ?? 0) === 0) return;
      iterator = answer.NextShardIterator;
    }
  }

  close(): void {
    this.#client.destroy();
  }
}
