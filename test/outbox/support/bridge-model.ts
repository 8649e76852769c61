/** A bridge of the simulated world: the real sequencer, and a model of its disk. */
import assert from 'node:assert/strict';
import { decodePacket, parseOffer, sequencerOfTopic, type NumberedReading } from '../../../contract/delivery.ts';
import { HeldRun } from '../../../outbox/held-run.ts';
import { OutboxRun } from '../../../outbox/outbox-run.ts';
import { Sequencer } from '../../../outbox/sequencer.ts';
import { identity, log, refused, WINDOW, type BridgeName, type WorldView } from './world-view.ts';

const payloadOf = (gateway: string, run: string, seq: number, bytes: number): string =>
  JSON.stringify({
    timestamp: '2026-11-22T19:00:00.123Z',
    heart_rate: 72,
    device: 'strap',
    gateway,
    run,
    seq,
    ...(bytes > 0 ? { original: 'x'.repeat(bytes) } : {}),
  });

/** A bridge: the real sequencer with runs in memory; what a killed one had on disk comes back as a recovered run. */
export class BridgeModel {
  readonly #world: WorldView;
  readonly line: BridgeName;
  readonly gateway: string;
  sequencer: Sequencer;
  #runsBegun = 0;

  constructor(world: WorldView, line: BridgeName) {
    this.#world = world;
    this.line = line;
    this.gateway = line;
    this.sequencer = this.#newSequencer();
    this.sequencer.runs = [this.#newRun()];
  }

  #newSequencer(): Sequencer {
    return new Sequencer({
      gateway: this.gateway,
      line: {
        publish: (topic, payload) => {
          this.#checkSent(topic, payload);
          return this.#world.publish(this.line, { topic, payload });
        },
        writableLength: () => 0,
      },
      log,
      refused,
      now: () => this.#world.nowMs,
      onStored: () => {},
    });
  }

  #checkSent(topic: string, payload: string): void {
    if (topic.includes('/offer/')) {
      assert.ok(parseOffer(payload).ok, payload);
      this.#world.offers += 1;
      return;
    }
    const { readings } = decodePacket(payload);
    this.#world.sent += readings.length;
    const run = this.sequencer.runs.find(({ protocol }) => protocol.run === sequencerOfTopic(topic)?.run);
    const furthest = readings.at(-1)?.seq ?? 0;
    assert.ok(furthest <= (run?.protocol.stored ?? 0) + WINDOW, `${furthest} is sent, ${run?.protocol.stored} is stored`);
  }

  #held(protocol: OutboxRun): HeldRun {
    return new HeldRun({
      protocol,
      files: undefined,
      gateway: this.gateway,
      memoryMax: Number.POSITIVE_INFINITY,
      onDropped: () => {},
      onDiskError: () => {},
    });
  }

  #newRun(): HeldRun {
    this.#runsBegun += 1;
    // The same digits on every box: they prove nothing.
    const run = this.#runsBegun.toString(16).padStart(16, '0');
    return this.#held(new OutboxRun({ run, window: WINDOW, random: () => 0.5 }));
  }

  get own(): OutboxRun {
    const own = this.sequencer.runs.at(-1);
    assert.ok(own !== undefined);
    return own.protocol;
  }

  read(count: number, bytes: number): void {
    for (let i = 0; i < count; i += 1) {
      const seq = this.own.nextSeq();
      const id = identity(this.gateway, this.own.run, seq);
      this.#world.taken.add(id);
      this.own.hold({ seq, payload: payloadOf(this.gateway, this.own.run, seq, bytes) }, this.#world.nowMs);
      this.sequencer.pump();
    }
  }

  drop(count: number): void {
    for (const { seq } of this.own.held.slice(0, count)) {
      this.own.drop({ from: seq, to: seq }, 'outbox_full');
      this.#world.gone.add(identity(this.gateway, this.own.run, seq));
    }
  }

  /** Killed: of what it held, the first `spilled` of its own run are on disk, and all of earlier runs. */
  restart(spilled: number, version1: boolean): void {
    this.#world.cut(this.line);
    const before = this.sequencer.runs;
    this.sequencer = this.#newSequencer();
    const recovered = before.flatMap(({ protocol }) => this.#recovered(protocol, spilled, version1));
    this.sequencer.runs = [...recovered, this.#newRun()];
  }

  #recovered(old: OutboxRun, spilled: number, version1: boolean): HeldRun[] {
    const kept: readonly NumberedReading[] = old.isRecovered ? old.held : old.held.slice(0, spilled);
    for (const { seq } of old.held.slice(kept.length)) this.#world.gone.add(identity(this.gateway, old.run, seq));
    if (kept.length === 0) return [];
    const protocol = new OutboxRun({
      run: old.run,
      window: WINDOW,
      // The header of the file allows more than was sent.
      recovered: {
        first: kept[0]?.seq ?? 1,
        last: kept.at(-1)?.seq ?? 0,
        mayHaveSent: version1 ? undefined : old.last + 10_000,
        dropped: old.dropped.record,
      },
      random: () => 0.5,
    });
    for (const reading of kept) protocol.hold(reading, this.#world.nowMs);
    return [this.#held(protocol)];
  }

  /** What the outbox's tick does. */
  tick(): void {
    this.sequencer.runs = this.sequencer.runs.filter((run) => run.protocol === this.own || run.protocol.unsettled);
    this.sequencer.pump();
  }

  get isSettled(): boolean {
    return this.sequencer.runs.every(({ protocol }) => !protocol.unsettled);
  }
}
