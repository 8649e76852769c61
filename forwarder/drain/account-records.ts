/**
 * `KINESIS_ACCOUNTS=records`: once a minute, everything that is new in the accounts of runs is sent as records of their own, or a heartbeat
 * if nothing is. What was not stored is reported again by the next minute's records.
 */
import type { AccountRecord } from '../../contract/stream-account.ts';
import type { Config } from '../../service/config/config.ts';
import type { Logger } from '../../service/log/log.ts';
import type { Sink } from '../sink/sink.ts';
import { partitionKeyOf } from './partition-key.ts';
import { BATCH_RECORDS } from './shipments.ts';

const EVERY_MS = 60_000;

export interface AccountRecordsOptions {
  config: Pick<Config, 'KINESIS_ACCOUNTS' | 'KINESIS_PARTITION_KEY'>;
  log: Logger;
  sink: Sink;
  queue: {
    /** False while the queue's file cannot be read. */
    readonly isOpen: boolean;
    accountRecords(): Promise<AccountRecord[]>;
    accountRecordsSent(records: 'stored' | 'lost'): Promise<void>;
  };
  /** Whether readings are shipped at present: accounts do not add to the load of a stream that fails. */
  isUplinkOk: () => boolean;
  /** Shorter in tests. */
  everyMs?: number;
}

export class AccountRecords {
  readonly #options: AccountRecordsOptions;
  readonly #abort = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> | undefined;

  constructor(options: AccountRecordsOptions) {
    this.#options = options;
  }

  start(): void {
    if (this.#options.config.KINESIS_ACCOUNTS !== 'records') return;
    this.#timer = setInterval(() => {
      this.#sending ??= this.#send().finally(() => (this.#sending = undefined));
    }, this.#options.everyMs ?? EVERY_MS);
  }

  async #send(): Promise<void> {
    const { queue, log, isUplinkOk } = this.#options;
    if (!queue.isOpen || !isUplinkOk()) return;
    try {
      const records = await queue.accountRecords();
      const isStored = await this.#put(records).catch(() => false);
      await queue.accountRecordsSent(isStored ? 'stored' : 'lost');
      log.debug({ event: 'accounts_sent', records: records.length, stored: isStored }, 'accounts were sent to the stream');
    } catch {
      // The queue is closed.
    }
  }

  async #put(records: readonly AccountRecord[]): Promise<boolean> {
    const { sink, config } = this.#options;
    for (let index = 0; index < records.length; index += BATCH_RECORDS) {
      const batch = records.slice(index, index + BATCH_RECORDS).map((record) => ({
        partitionKey: partitionKeyOf(config.KINESIS_PARTITION_KEY, record.device ?? record.gateway),
        data: Buffer.from(`${JSON.stringify(record)}\n`),
      }));
      const { outcomes } = await sink.send(batch, this.#abort.signal);
      if (outcomes.some(({ ok }) => !ok)) return false;
    }
    return true;
  }

  /** Aborts what is being sent: call it before the sink is closed. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#abort.abort();
    await this.#sending;
  }
}
