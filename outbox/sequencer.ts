/**
 * The protocol of all runs of one outbox: offers, packets, and what the forwarder answers. Which forwarder is believed is decided here,
 * for all runs alike. No disk and no timers: the owner calls `pump` after every change and every 50 ms while something is held.
 */
import {
  deliveryStoredTopic,
  DELIVERY_SYNC_TOPIC,
  offerTopic,
  parseStored,
  parseSync,
  sequencerOfTopic,
  type Stored,
} from '../contract/delivery.ts';
import type { MessageRefusals } from '../service/mqtt/refused-messages.ts';
import { RepeatLimiter, type Logger } from '../service/log/log.ts';
import { FollowedQueue } from './followed-queue.ts';
import type { HeldRun } from './held-run.ts';
import { Sender, type DeliveryLine } from './sender.ts';

export interface SequencerOptions {
  /** Name of this box. */
  gateway: string;
  line: DeliveryLine;
  log: Logger;
  refused?: MessageRefusals | undefined;
  /** Milliseconds, monotonic. */
  now: () => number;
  /** The forwarder has said something about a run; `progressed`: its watermark has moved. */
  onStored: (run: HeldRun, message: Stored, progressed: boolean) => void;
}

export class Sequencer {
  readonly queue = new FollowedQueue();
  readonly #options: SequencerOptions;
  readonly #repeats: RepeatLimiter;
  readonly #sender: Sender;
  readonly #startedAtMs: number;
  /** Names of the boxes whose runs are delivered: this one's, and those of earlier processes. */
  readonly gateways: Set<string>;
  /** Runs of earlier processes, oldest first, then our own. */
  runs: readonly HeldRun[] = [];

  constructor(options: SequencerOptions) {
    this.#options = options;
    this.gateways = new Set([options.gateway]);
    this.#repeats = new RepeatLimiter(options.log);
    this.#sender = new Sender(options.line, () => this.#answerable, options.now);
    this.#startedAtMs = options.now();
  }

  /**
   * The runs whose answers arrive. An earlier name of the box may have no rights: our broker would end the connection at the first publish
   * under it, and nothing under the present name would be delivered either.
   */
  get #answerable(): readonly HeldRun[] {
    const { isRefused } = this.#options.line;
    return isRefused === undefined ? this.runs : this.runs.filter(({ gateway }) => !isRefused(deliveryStoredTopic(gateway, '+')));
  }

  /** What the next connection has to subscribe. */
  get filters(): string[] {
    return [...[...this.gateways].map((gateway) => deliveryStoredTopic(gateway, '+')), DELIVERY_SYNC_TOPIC];
  }

  get isUp(): boolean {
    return this.#sender.isUp;
  }

  /** The line is up, and the broker has acknowledged the subscriptions. */
  up(): void {
    this.#sender.up();
    this.#offerAll();
  }

  /** Takes over a run before another one, and offers it if the line is up. */
  add(run: HeldRun, before: HeldRun): void {
    this.gateways.add(run.gateway);
    this.runs = [...this.runs.filter((other) => other !== before), run, before];
    if (this.isUp) run.protocol.wantOffer();
  }

  /** A run has ended: if everything of it is stored, the forwarder may close its account at once instead of after a day. */
  end(run: HeldRun): void {
    const offer = run.protocol.finalOffer();
    if (offer === undefined || !this.isUp || !this.#answerable.includes(run)) return;
    this.#options.line.publish(offerTopic(run.gateway, offer.run), JSON.stringify(offer));
  }

  down(): void {
    this.#sender.down();
    for (const { protocol } of this.runs) protocol.lineDown();
  }

  /** Publishes what is due now. */
  pump(): void {
    this.#sender.pump();
  }

  /** Publishes what is due once the current turn of the event loop has added everything that it adds. */
  pumpAtEndOfTurn(): void {
    this.#sender.pumpAtEndOfTurn();
  }

  #offerAll(): void {
    for (const { protocol } of this.runs) if (protocol.unsettled || !protocol.isRecovered) protocol.wantOffer();
    this.#sender.pump();
  }

  /** A message on one of the subscribed topics. */
  receive(topic: string, payload: Buffer | string): void {
    if (topic === DELIVERY_SYNC_TOPIC) return this.#receiveSync(payload);
    const sequencer = sequencerOfTopic(topic);
    const run = this.runs.find(({ protocol, gateway }) => protocol.run === sequencer?.run && gateway === sequencer.gateway);
    if (run === undefined) return;
    const message = parseStored(payload);
    if (!message.ok) return this.#options.refused?.refuse('stored', topic, message.reason);
    if (!this.#follows(message.value.queue)) return;
    this.#options.onStored(run, message.value, run.protocol.received(message.value, this.#options.now()));
    this.#sender.pump();
  }

  /** The forwarder has subscribed, and asks what is held. */
  #receiveSync(payload: Buffer | string): void {
    const sync = parseSync(payload);
    if (!sync.ok) return this.#options.refused?.refuse('sync', DELIVERY_SYNC_TOPIC, sync.reason);
    const { gateways, queue } = sync.value;
    const isOurs = gateways.includes('*') || this.runs.some(({ gateway }) => gateways.includes(gateway));
    if (isOurs && this.#follows(queue)) this.#offerAll();
  }

  #follows(queue: string): boolean {
    const { id, changes } = this.queue;
    const isFollowed = this.queue.accepts(queue, this.#options.now(), this.waitingSinceMs);
    if (!isFollowed)
      this.#repeats.warn(
        'foreign_queue',
        { event: 'foreign_queue', queue, followed: id },
        'ignoring a second forwarder that answers for the same readings',
      );
    else if (this.queue.changes > changes)
      this.#options.log.warn(
        { event: 'queue_changed', queue, before: id },
        'the forwarder that was followed does not answer any more; following another queue',
      );
    return isFollowed;
  }

  /** Since when nothing of what is held makes progress; undefined if nothing is held. */
  get waitingSinceMs(): number | undefined {
    const waiting = this.runs.filter(({ protocol }) => protocol.unsettled);
    if (waiting.length === 0) return undefined;
    return Math.max(this.#startedAtMs, ...waiting.map(({ protocol }) => protocol.lastProgressAtMs));
  }
}
