/** An outbox on a faulty disk, and a forwarder that stores what it receives and answers when the test allows it. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { decodePacket, parseOffer, sequencerOfTopic, type MissedSpan, type NumberedReading } from '../../../contract/delivery.ts';
import { RunIntake } from '../../../forwarder/intake/run-intake.ts';
import { Outbox } from '../../../outbox/outbox.ts';
import { testConfig, testLog } from '../../support/test-config.ts';
import { FaultyDisk } from './faulty-disk.ts';

const QUEUE = 'f000000000000001';
const reading = { timestamp: '2026-11-22T19:00:00.123Z', heart_rate: 72, device: 'strap' };
const log = testLog(testConfig({}));

export interface DiskBenchOptions {
  folder: string;
  memoryMax?: number;
  maxBytes?: number;
  salvageAfterMs?: number;
  diskRetryMs?: number;
  disk?: FaultyDisk;
}

/** What the forwarder has; it outlives outboxes. */
export class StoringForwarder {
  readonly #runs = new Map<string, RunIntake>();
  readonly stored = new Map<string, NumberedReading[]>();
  readonly missed: (MissedSpan & { run: string })[] = [];

  /** Its answer to what an outbox publishes. */
  answer(topic: string, payload: string): { topic: string; message: object } | undefined {
    const sequencer = sequencerOfTopic(topic);
    if (sequencer === undefined) return undefined;
    const run = this.#runs.get(sequencer.run) ?? new RunIntake(sequencer);
    this.#runs.set(sequencer.run, run);
    const offer = parseOffer(payload);
    let sync: number | undefined;
    if (offer.ok) {
      for (const span of run.offered(offer.value)) this.missed.push({ ...span, run: sequencer.run });
      sync = offer.value.sync;
    } else {
      const { taken } = run.arrived(decodePacket(payload).readings);
      this.stored.set(sequencer.run, [...(this.stored.get(sequencer.run) ?? []), ...taken]);
    }
    run.pending(0, []);
    run.committed(run.watermark.stored);
    const message = { queue: QUEUE, stored: run.stored, ...(sync === undefined ? {} : { sync }) };
    return { topic: topic.replace(/offer|readings/, 'stored'), message };
  }

  seqs(run: string): number[] {
    return (this.stored.get(run) ?? []).map(({ seq }) => seq);
  }

  /** Seqs recorded as missed, by cause. */
  missedBy(run: string): Record<string, number[]> {
    const seqs: Record<string, number[]> = {};
    for (const { run: of, from, to, cause } of this.missed)
      if (of === run) for (let seq = from; seq <= to; seq += 1) (seqs[cause] ??= []).push(seq);
    return seqs;
  }
}

export class DiskBench {
  readonly disk: FaultyDisk;
  readonly folder: string;
  readonly outbox: Outbox;
  readonly forwarder: StoringForwarder;
  readonly dropped: MissedSpan[] = [];

  constructor(t: TestContext, options: DiskBenchOptions, forwarder = new StoringForwarder()) {
    const {
      folder,
      memoryMax = 200,
      maxBytes = 64 * 1024 * 1024,
      salvageAfterMs,
      diskRetryMs = 10,
      disk = new FaultyDisk(),
    } = options;
    this.disk = disk;
    this.folder = folder;
    this.forwarder = forwarder;
    this.outbox = new Outbox({
      gateway: 'box',
      line: { publish: (topic, payload) => this.#published(topic, payload), writableLength: () => 0 },
      log,
      window: 1000,
      spill: { folder, memoryMax, maxBytes, disk, diskRetryMs, ...(salvageAfterMs === undefined ? {} : { salvageAfterMs }) },
    });
    this.outbox.on('dropped', (span) => this.dropped.push(span));
    t.after(async () => {
      disk.fault = undefined;
      this.outbox.down();
      await this.outbox.stop();
    });
  }

  #published(topic: string, payload: string): boolean {
    setImmediate(() => {
      const answer = this.forwarder.answer(topic, payload);
      if (answer !== undefined) this.outbox.receive(answer.topic, JSON.stringify(answer.message));
    });
    return true;
  }

  async add(count: number): Promise<void> {
    for (let added = 0; added < count; added += 1) {
      this.outbox.add(reading);
      if (added % 20 === 19) await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  /** The seqs that were dropped, each once. */
  get droppedSeqs(): number[] {
    const seqs = this.dropped.flatMap(({ from, to }) => Array.from({ length: to - from + 1 }, (_, at) => from + at));
    assert.equal(new Set(seqs).size, seqs.length, 'a seq is dropped once');
    return seqs;
  }
}

/** 1 to `last`. */
export const seqsThrough = (last: number): number[] => Array.from({ length: last }, (_, at) => at + 1);
