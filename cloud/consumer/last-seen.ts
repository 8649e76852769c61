/**
 * The table of last-seen: an item a gateway, with when the stream stored its newest account record, which a gateway with
 * KINESIS_ACCOUNTS=records sends every minute, whatever its straps do. The consumer writes it, the watch reads it. Metrics cannot take its
 * place: a gateway that is silent has none.
 */
import { ConditionalCheckFailedException, DynamoDBClient, ScanCommand, UpdateItemCommand } from '@aws-sdk/client-dynamodb';
import type { SeenGateways } from './gateway-metrics.ts';

const WRITES_AT_ONCE = 25;
/** A gateway is written this often within the time after which it counts as silent. */
const WRITES_PER_SILENCE = 3;

export interface LastSeen {
  gateway: string;
  lastSeenMs: number;
}

export interface LastSeenOptions {
  table: string;
  /** After this time without an account record a gateway counts as silent. */
  silenceMs: number;
  client?: DynamoDBClient;
}

export class LastSeenTable {
  readonly #client: DynamoDBClient;
  readonly #table: string;
  readonly #writeEveryMs: number;
  /** When this instance wrote each gateway; 0: it is registered only. */
  readonly #writtenMs = new Map<string, number>();

  constructor({ table, silenceMs, client = new DynamoDBClient({ maxAttempts: 3 }) }: LastSeenOptions) {
    this.#table = table;
    this.#client = client;
    this.#writeEveryMs = silenceMs / WRITES_PER_SILENCE;
  }

  /**
   * Writes what a batch held, as far as it is due. A gateway that sends readings only is registered, so that it is reported as silent until
   * it sends account records. Throws the errors of DynamoDB; what was not written is due again.
   */
  async write(seen: SeenGateways, nowMs: number): Promise<void> {
    const due = seen.entries().filter(([gateway, { heartbeatMs }]) => {
      const writtenMs = this.#writtenMs.get(gateway);
      return writtenMs === undefined || (heartbeatMs !== undefined && nowMs - writtenMs >= this.#writeEveryMs);
    });
    for (let at = 0; at < due.length; at += WRITES_AT_ONCE)
      await Promise.all(
        due.slice(at, at + WRITES_AT_ONCE).map(async ([gateway, { heartbeatMs, lastSeenMs }]) => {
          if (heartbeatMs === undefined) await this.#update(gateway, lastSeenMs, 'attribute_not_exists(last_seen)');
          // Another instance may have written a newer one, after records were delivered again.
          else await this.#update(gateway, heartbeatMs, 'attribute_not_exists(last_seen) OR last_seen < :seen');
          this.#writtenMs.set(gateway, heartbeatMs === undefined ? 0 : nowMs);
        }),
      );
  }

  async #update(gateway: string, seenMs: number, condition: string): Promise<void> {
    try {
      await this.#client.send(
        new UpdateItemCommand({
          TableName: this.#table,
          Key: { gateway: { S: gateway } },
          UpdateExpression: 'SET last_seen = :seen',
          ConditionExpression: condition,
          ExpressionAttributeValues: { ':seen': { N: String(seenMs) } },
        }),
      );
    } catch (error) {
      if (!(error instanceof ConditionalCheckFailedException)) throw error;
    }
  }

  /** Every gateway that was ever seen. Throws the errors of DynamoDB. */
  async all(): Promise<LastSeen[]> {
    const found: LastSeen[] = [];
    let from: ScanCommand['input']['ExclusiveStartKey'];
    do {
      const { Items = [], LastEvaluatedKey } = await this.#client.send(
        new ScanCommand({ TableName: this.#table, ...(from === undefined ? {} : { ExclusiveStartKey: from }) }),
      );
      for (const { gateway, last_seen: lastSeen } of Items)
        if (gateway?.S !== undefined && lastSeen?.N !== undefined)
          found.push({ gateway: gateway.S, lastSeenMs: Number(lastSeen.N) });
      from = LastEvaluatedKey;
    } while (from !== undefined);
    return found;
  }
}
