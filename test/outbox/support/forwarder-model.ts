/** A forwarder of the simulated world: the real intake on a model of the queue. */
import assert from 'node:assert/strict';
import { Intake } from '../../../forwarder/intake/intake.ts';
import type { Append, RunWatermark } from '../../../forwarder/queue/queue-messages.ts';
import { topicMatches } from '../../../service/mqtt/subscription-routes.ts';
import { identity, log, refused, type ForwarderName, type Packet, type WorldView } from './world-view.ts';

const keyOf = ({ gateway, run }: RunWatermark): string => `${gateway}/${run}`;

export interface QueueCopy {
  id: string;
  committed: Map<string, RunWatermark>;
  stored: Map<string, number[]>;
}
export const emptyQueue = (id: string): QueueCopy => ({ id, committed: new Map(), stored: new Map() });
export const copyOf = ({ id, committed, stored }: QueueCopy): QueueCopy => ({
  id,
  committed: new Map(committed),
  stored: new Map([...stored].map(([key, seqs]) => [key, [...seqs]])),
});

/** A forwarder: the real intake on a model of the queue with its epochs. */
export class ForwarderModel {
  readonly #world: WorldView;
  readonly line: ForwarderName;
  file: QueueCopy;
  pending: Append[] = [];
  accepting = true;
  readonly #asked: { append: Append; epoch: number }[] = [];
  #epoch = 0;
  #knownEpoch = 0;
  intake: Intake;

  constructor(world: WorldView, line: ForwarderName, id: string) {
    this.#world = world;
    this.line = line;
    this.file = emptyQueue(id);
    this.intake = this.#newIntake();
  }

  #newIntake(): Intake {
    const intake = new Intake({
      queue: { append: (append) => this.#asked.push({ append, epoch: this.#knownEpoch }) },
      log,
      refused,
      gateway: 'box',
      gateways: ['*'],
      takesLiveReadings: false,
      publish: (topic, payload) => this.#world.publish(this.line, { topic, payload }),
      now: () => this.#world.nowMs,
    });
    intake.start(this.file.id, this.#watermarks);
    return intake;
  }

  get #watermarks(): RunWatermark[] {
    return [...this.file.committed.values()];
  }

  restart(file: QueueCopy = this.file): void {
    this.#world.cut(this.line);
    this.file = file;
    this.pending = [];
    this.accepting = true;
    this.#epoch = 0;
    this.#knownEpoch = 0;
    this.#asked.length = 0;
    this.intake = this.#newIntake();
  }

  receive({ topic, payload }: Packet): void {
    for (const [filter, handler] of Object.entries(this.intake.subscriptions))
      if (topicMatches(filter, topic)) handler(topic, Buffer.from(payload), false);
    this.takeAsked();
  }

  /** What the queue's thread does with the appends that were sent to it. */
  takeAsked(): void {
    for (const { append, epoch } of this.#asked.splice(0))
      if (this.accepting && epoch >= this.#epoch) this.pending.push(append);
      else this.#refuse();
  }

  #refuse(): void {
    this.#epoch += 1;
    this.#knownEpoch = this.#epoch;
    this.intake.refused(this.file.id, this.#watermarks, 0);
  }

  failCommit(): void {
    this.pending = [];
    this.#refuse();
  }

  setAccepting(accepting: boolean): void {
    this.accepting = accepting;
    if (!accepting) this.pending = [];
    this.intake.setAccepting(accepting);
    if (!accepting) this.#refuse();
  }

  commit(): void {
    const { pending } = this;
    if (pending.length === 0) return;
    this.pending = [];
    for (const { rows, dead, watermarks } of pending) {
      const arrived = [
        ...rows.data.map((data) => JSON.parse(data) as { gateway: string; run: string; seq: number }),
        ...dead.map(({ reason, run, seq }) => {
          assert.equal(reason, 'too_large_for_broker');
          return { gateway: watermarks[0]?.gateway ?? '', run: run ?? '', seq: seq ?? 0 };
        }),
      ].sort((a, b) => a.seq - b.seq);
      for (const { gateway, run, seq } of arrived) {
        const key = `${gateway}/${run}`;
        const seqs = this.file.stored.get(key) ?? [];
        this.file.stored.set(key, seqs);
        assert.ok(seq > (seqs.at(-1) ?? 0), `${key}: ${seq} is stored after ${seqs.at(-1)}`);
        seqs.push(seq);
        this.#world.everStored.add(identity(gateway, run, seq));
      }
      for (const watermark of watermarks) {
        assert.ok(watermark.stored >= (this.file.committed.get(keyOf(watermark))?.stored ?? 0), 'a watermark never goes back');
        this.file.committed.set(keyOf(watermark), watermark);
      }
    }
    this.intake.committed(pending.flatMap(({ watermarks }) => watermarks));
  }
}
