/** An outbox of a test: keeps what was adopted, and stores when the test tells it to. */
import { EventEmitter } from 'node:events';
import type { MissedCause, NumberedReading } from '../../../contract/delivery.ts';
import type { AdoptionOutbox } from '../../../gateway/adoption/adoption-plane.ts';
import type { ReadingSink, ReadingSinkEvents, UnnumberedReading } from '../../../outbox/reading-sink.ts';

export class MemorySink extends EventEmitter<ReadingSinkEvents> implements ReadingSink {
  readonly run: string;
  /** In order of seq, from 1. */
  readonly readings: UnnumberedReading[] = [];
  watermark = 0;
  /** Stores each reading before `add` returns. */
  storesAtOnce: boolean;

  constructor(run: string, storesAtOnce: boolean) {
    super();
    this.run = run;
    this.storesAtOnce = storesAtOnce;
  }

  add(reading: UnnumberedReading): NumberedReading {
    // As the outbox does: what is held is the JSON.
    const payload = JSON.stringify(reading);
    this.readings.push(JSON.parse(payload) as UnnumberedReading);
    if (this.storesAtOnce) this.store();
    return { seq: this.readings.length, payload };
  }

  /** Stores everything up to a seq, by default all. */
  store(through = this.readings.length): void {
    this.watermark = through;
    this.emit('stored', through);
  }

  /** Records seqs as missed, and stores up to the last of them. */
  miss(from: number, to: number, cause: MissedCause = 'earlier_queue'): void {
    this.emit('missed', { from, to, cause });
    this.store(to);
  }
}

export class MemoryOutbox implements AdoptionOutbox {
  readonly sinks: { memory: MemorySink; spilling: MemorySink };

  constructor(storesAtOnce: boolean) {
    this.sinks = { memory: new MemorySink('a'.repeat(16), storesAtOnce), spilling: new MemorySink('b'.repeat(16), storesAtOnce) };
  }

  async start(): Promise<void> {}

  commitInterval(): void {}

  async settle(limitMs: number): Promise<void> {
    const endMs = performance.now() + limitMs;
    const isSettled = (): boolean =>
      Object.values(this.sinks).every(({ watermark, readings }: MemorySink) => watermark === readings.length);
    while (!isSettled() && performance.now() < endMs) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  async stop(): Promise<void> {}

  checks(): [] {
    return [];
  }
}
