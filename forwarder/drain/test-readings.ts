import type { Config } from '../../service/config/config.ts';
import { RepeatLimiter, type Logger } from '../../service/log/log.ts';
import type { DrainQueue, QueuedReading } from '../queue/drain-queue.ts';

/** Simulated and replayed readings: a target that is not local does not get them, unless ALLOW_TEST_READINGS is set. */
export class TestReadings {
  readonly #areShipped: boolean;
  readonly #queue: Pick<DrainQueue, 'evict'>;
  readonly #repeats: RepeatLimiter;

  constructor(config: Pick<Config, 'KINESIS_TARGET' | 'ALLOW_TEST_READINGS'>, queue: Pick<DrainQueue, 'evict'>, log: Logger) {
    this.#areShipped = config.KINESIS_TARGET === 'local' || config.ALLOW_TEST_READINGS;
    this.#queue = queue;
    this.#repeats = new RepeatLimiter(log);
  }

  /** The rows that the target gets; the others are evicted, and counted. */
  admit(rows: readonly QueuedReading[]): readonly QueuedReading[] {
    if (this.#areShipped) return rows;
    const test = rows.filter(({ source }) => source !== 'real');
    if (test.length === 0) return rows;
    this.#repeats.warn(
      'test',
      { event: 'test_readings_kept', count: test.length },
      'evicting simulated or replayed readings: this target does not get them unless ALLOW_TEST_READINGS is set',
    );
    this.#queue.evict(
      test.map(({ id }) => id),
      'test_reading',
    );
    return rows.filter(({ source }) => source === 'real');
  }
}
