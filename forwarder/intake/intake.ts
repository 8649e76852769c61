/**
 * Takes readings from the delivery plane into the queue: of each offered run in order, each seq once. It confirms with `stored` what the
 * queue has committed. A reading that it does not take now stays with its sequencer. All state about a run is keyed by (gateway, run).
 */
import {
  decodePacket,
  DELIVERY_SYNC_TOPIC,
  deliveredReadingsTopic,
  deliveryStoredTopic,
  offerTopic,
  parseOffer,
  parseSync,
  sequencerOfTopic,
  type MissedSpan,
  type NumberedReading,
  type Stored,
} from '../../contract/delivery.ts';
import type { PublicationContext } from '../../contract/publication/adopted-reading.ts';
import { DEVICE_STATUS_FILTER, READINGS_FILTER, VERSION_1_SOURCE_FILTER } from '../../contract/topics.ts';
import { RepeatLimiter, type Logger } from '../../service/log/log.ts';
import type { MessageHandler } from '../../service/mqtt/subscription-routes.ts';
import type { MessageRefusals } from '../../service/mqtt/refused-messages.ts';
import type { CheckReport } from '../../service/health/check-report.ts';
import { serves } from '../../service/network/broker.ts';
import { addNumber, type Append, type RunWatermark, type UnnumberedOutcomes } from '../queue/queue-messages.ts';
import { watermarkKey } from '../queue/watermark-key.ts';
import { Arrivals } from './arrivals.ts';
import { IntakeReport } from './intake-report.ts';
import { LiveReadings } from './live-readings.ts';
import { OfferedRuns } from './offered-runs.ts';
import { Publications, type Publication } from './publications.ts';
import { checkNumbered, type Checked } from './reading-check.ts';
import { RunBounds } from './run-bounds.ts';
import { RunIntake } from './run-intake.ts';
import { StrapNames } from './strap-names.ts';
import { Version1Bridges } from './version-1-bridges.ts';

export interface IntakeQueue {
  append(append: Append): void;
}

export interface IntakeOptions {
  queue: IntakeQueue;
  log: Logger;
  /** Counts messages of sequencers that do not match the contract. */
  refused: MessageRefusals;
  /** Name of this box. */
  gateway: string;
  /** Whose sequencers are served; `*`: every gateway's. */
  gateways: readonly string[];
  /** Whether other clients' readings are taken from `hr/<device>/bpm`: no gateway on this broker adopts them. */
  takesLiveReadings: boolean;
  /** Where the names of straps are kept, if live readings are taken; left out: in memory only. */
  strapNamesFile?: string;
  publish: (topic: string, payload: string) => boolean;
  /** Whether this box's clock can be trusted; default: unknown. */
  clock?: () => PublicationContext['clock'];
  /** Milliseconds, monotonic; for tests. */
  now?: () => number;
}

/** A sync that nobody waited for interrupts every sequencer: not more often than this. */
const NUDGE_EVERY_MS = 2000;
const OTHER_ANSWERED_EVERY_MS = 10_000;
/** Spans in one `stored` message. */
const SPANS_MAX = 100;

const emptyAppend = (): Append & Required<Pick<Append, 'numbered'>> => ({
  rows: { data: [], devices: [], sources: [] },
  numbered: [],
  dead: [],
  watermarks: [],
});

export class Intake {
  readonly arrivals = new Arrivals();
  readonly #options: IntakeOptions;
  readonly #now: () => number;
  readonly #repeats: RepeatLimiter;
  readonly #report = new IntakeReport();
  readonly #live: LiveReadings;
  readonly #publications: Publications;
  readonly #runs: OfferedRuns;
  readonly #bounds: RunBounds;
  #watermarks = new Map<string, RunWatermark>();
  readonly #version1: Version1Bridges;
  readonly #straps: StrapNames;
  /** Gateways whose sequencers have offered something to this queue. */
  readonly #delivering: Set<string>;
  /** Identity of the queue file; undefined before it is open. */
  #queue: string | undefined;
  #isAccepting = true;
  #nudgedAtMs = Number.NEGATIVE_INFINITY;
  #otherAnsweredAtMs = Number.NEGATIVE_INFINITY;
  /** Un-numbered readings that could not be taken. */
  lostUnnumbered = 0;

  constructor(options: IntakeOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#repeats = new RepeatLimiter(options.log);
    this.#version1 = new Version1Bridges(options.log);
    this.#publications = new Publications(options.gateway, options.clock ?? (() => 'unknown'));
    this.#runs = new OfferedRuns(options.gateway);
    this.#bounds = new RunBounds(options.gateway, this.#now);
    this.#delivering = new Set([options.gateway]);
    this.#straps = new StrapNames({
      isDelivering: (gateway) => this.#delivering.has(gateway) && serves(options.gateways, gateway),
      refused: options.refused,
      file: options.strapNamesFile,
      log: options.log,
      onNamed: () => this.#live.settle(),
    });
    this.#live = new LiveReadings({
      arrivals: this.arrivals,
      isServed: (gateway, run) => this.#isServed(gateway, run),
      isOfVersion1: (run) => this.#version1.has(run),
      isClaimed: (device) => this.#straps.has(device),
      isAccepting: () => this.#isReady,
      store: (publication, isClaimed) => this.#storePublication(publication, isClaimed),
      onLost: () => this.#loseUnnumbered(1),
    });
  }

  /** To be spread into the forwarder's subscriptions. */
  get subscriptions(): Record<string, MessageHandler> {
    const gateways = this.#options.gateways.includes('*') ? ['+'] : this.#options.gateways;
    const handlers: Record<string, MessageHandler> = {
      [DELIVERY_SYNC_TOPIC]: (_, payload) => this.#sync(payload),
      [VERSION_1_SOURCE_FILTER]: (topic) => this.#bridgeOfVersion1(topic),
    };
    for (const gateway of gateways) {
      handlers[offerTopic(gateway, '+')] = (topic, payload) => this.#offer(topic, payload);
      handlers[deliveredReadingsTopic(gateway, '+')] = (topic, payload) => this.#readings(topic, payload);
    }
    if (this.#options.takesLiveReadings) {
      // Before the readings: the retained statuses say which names are taken.
      handlers[DEVICE_STATUS_FILTER] = (topic, payload) => this.#straps.status(topic, payload);
      handlers[READINGS_FILTER] = (topic, payload, isRetained) => {
        if (!isRetained) this.#live.receive(topic, payload);
      };
    }
    return handlers;
  }

  get #isReady(): boolean {
    return this.#queue !== undefined && this.#isAccepting;
  }

  /** The queue is open: its identity, and the watermarks that it holds. Runs that were offered meanwhile begin at theirs. */
  start(queue: string, watermarks: readonly RunWatermark[]): void {
    this.#queue = queue;
    this.#returnToWatermarks(watermarks);
    for (const { gateway } of watermarks) this.#delivering.add(gateway);
    if (this.#options.takesLiveReadings) this.#straps.start();
    this.askAll();
  }

  /** The broker has acknowledged the subscriptions. */
  up(): void {
    this.askAll();
  }

  /** Asks every sequencer to offer what it holds. */
  askAll(): void {
    if (this.#queue === undefined) return;
    this.#nudgedAtMs = this.#now();
    this.#options.publish(DELIVERY_SYNC_TOPIC, JSON.stringify({ queue: this.#queue, gateways: this.#options.gateways }));
  }

  #isServed(gateway: string, run: string): boolean {
    const key = watermarkKey({ gateway, run });
    return this.#runs.get(key)?.isOffered === true || this.#watermarks.has(key);
  }

  /** The run that is offered; undefined if its gateway begins too many. */
  #run(identity: { gateway: string; run: string }): RunIntake | undefined {
    const key = watermarkKey(identity);
    const known = this.#runs.get(key);
    if (known !== undefined) return known;
    const watermark = this.#watermarks.get(key);
    if (watermark === undefined && !this.#bounds.mayBegin(identity.gateway)) return undefined;
    return this.#runs.add(key, new RunIntake(identity, watermark));
  }

  #offer(topic: string, payload: Buffer): void {
    const sequencer = sequencerOfTopic(topic);
    const offer = parseOffer(payload);
    if (sequencer === undefined || !offer.ok || offer.value.run !== sequencer.run) {
      this.#options.refused.refuse('offer', topic, offer.ok ? 'run differs from the topic' : offer.reason);
      return;
    }
    const run = this.#run(sequencer);
    // Its sequencer offers it again.
    if (run === undefined) {
      this.#report.tooManyRuns(sequencer.gateway, this.#now());
      return this.#options.refused.refuse('offer', topic, 'its gateway begins too many runs');
    }
    const isFirst = !run.isOffered;
    run.isOffered = true;
    this.#delivering.add(sequencer.gateway);
    if (isFirst) this.#live.settle();
    // Without an answer the sequencer keeps what it holds, and offers again with growing backoff.
    if (!this.#isReady) return;
    const missed = run.offered(offer.value);
    for (const span of missed) this.#missed(sequencer.gateway, span);
    const hasEnded = offer.value.final === true && run.watermark.stored >= offer.value.last;
    // The first offer to this process marks the watermark as used; whatever moves it is answered once it is committed.
    if (missed.length > 0 || hasEnded || (isFirst && run.stored > 0)) {
      run.pending(0, [], missed);
      const { gateway, run: id } = run;
      this.#options.queue.append({
        ...emptyAppend(),
        watermarks: [run.watermark],
        missed: missed.map((span) => ({ gateway, run: id, ...span })),
        ...(hasEnded ? { ended: [{ gateway, run: id }] } : {}),
      });
      return;
    }
    const sync = run.answer();
    if (sync !== undefined) this.#confirm(run, { sync });
  }

  #missed(gateway: string, { from, to, cause }: MissedSpan): void {
    this.#repeats.error(
      `missed ${gateway} ${cause}`,
      { event: 'readings_missed', gateway, cause, from, to },
      'readings were lost before they were accepted',
    );
    if (cause !== 'earlier_queue') this.#report.missed(gateway, cause, this.#now());
  }

  #readings(topic: string, packet: Buffer): void {
    const sequencer = sequencerOfTopic(topic);
    if (sequencer === undefined) return;
    const { readings, malformed } = decodePacket(packet);
    // Without state for a run that was not offered: its name may be invented.
    const run = this.#runs.get(watermarkKey(sequencer));
    if (!this.#isReady || run?.isOffered !== true || !this.#bounds.hasRoom(sequencer.gateway)) {
      this.#putBack(sequencer.gateway, readings.length + malformed);
      if (this.#isReady && run?.isOffered !== true) this.#nudge();
      return;
    }
    const { taken, duplicates, putBack } = run.arrived(readings);
    this.arrivals.count(sequencer.gateway, 'duplicate', duplicates);
    this.#putBack(sequencer.gateway, putBack + malformed);
    if (taken.length > 0) this.#take(run, taken);
  }

  #putBack(gateway: string, readings: number): void {
    if (readings === 0) return;
    this.arrivals.count(gateway, 'put_back', readings);
    this.#report.putBack(gateway, this.#now());
  }

  /** A sequencer sends although its run was not offered to this process: it has missed our sync. */
  #nudge(): void {
    if (this.#now() - this.#nudgedAtMs >= NUDGE_EVERY_MS) this.askAll();
  }

  #take(run: RunIntake, readings: readonly NumberedReading[]): void {
    const append = emptyAppend();
    const { gateway, run: id } = run;
    const refused: string[] = [];
    let bytes = 0;
    for (const { seq, payload } of readings) {
      bytes += payload.length;
      const checked = checkNumbered(payload, { gateway, run: id, seq });
      if (checked.kind === 'dead') refused.push(checked.letter.reason);
      else {
        if (this.#options.takesLiveReadings) this.#straps.delivered(checked.device, gateway);
        addNumber(append.numbered, { gateway, run: id, seq });
      }
      this.#add(append, checked);
    }
    append.watermarks.push(run.watermark);
    run.pending(readings.length - refused.length, refused, [], bytes);
    this.#bounds.pending(gateway, bytes);
    this.#options.queue.append(append);
  }

  #add(append: Append, checked: Checked): void {
    if (checked.kind === 'dead') {
      const { reason, detail, device } = checked.letter;
      append.dead.push(checked.letter);
      this.#repeats.warn(
        `dead ${reason}`,
        { event: 'reading_dead', reason, detail, device },
        'a reading was refused and went to the dead letters',
      );
      return;
    }
    append.rows.data.push(checked.data);
    append.rows.devices.push(checked.device);
    append.rows.sources.push(checked.source);
  }

  #storePublication(publication: Publication, isClaimed: boolean): void {
    const { gateway, queue } = this.#options;
    const checked = this.#publications.check(publication, isClaimed);
    if (checked.kind === 'no_pulse' || checked.kind === 'empty') return this.arrivals.refused(gateway, checked.kind);
    const append = emptyAppend();
    this.#add(append, checked);
    // Its outcome is known, and counted, once the queue has committed it.
    queue.append(append);
  }

  #loseUnnumbered(count: number): void {
    this.lostUnnumbered += count;
    this.arrivals.refused(this.#options.gateway, 'not_accepting', count);
    this.#repeats.error(
      'unnumbered',
      { event: 'unnumbered_readings_lost', count: this.lostUnnumbered },
      'readings of other clients were lost: the queue does not accept',
    );
  }

  /** A sync of another forwarder; ours arrives here too. */
  #sync(payload: Buffer): void {
    const sync = parseSync(payload);
    if (!sync.ok) return this.#options.refused.refuse('sync', DELIVERY_SYNC_TOPIC, sync.reason);
    if (this.#queue === undefined || sync.value.queue === this.#queue) return;
    const { gateways } = this.#options;
    const isShared =
      [...gateways, ...sync.value.gateways].includes('*') || gateways.some((name) => sync.value.gateways.includes(name));
    if (!isShared) return;
    const now = this.#now();
    this.#report.otherForwarder(sync.value.queue, now);
    // The other one learns of this forwarder by the same message.
    if (now - this.#otherAnsweredAtMs < OTHER_ANSWERED_EVERY_MS) return;
    this.#otherAnsweredAtMs = now;
    this.askAll();
  }

  #bridgeOfVersion1(topic: string): void {
    this.#report.bridgeOfVersion1(this.#now());
    this.#version1.seen(topic);
  }

  /** The queue has committed: sequencers may forget, and un-numbered readings have their outcome. */
  committed(watermarks: readonly RunWatermark[], unnumbered: UnnumberedOutcomes = { accepted: 0, refused: [] }): void {
    this.arrivals.count(this.#options.gateway, 'accepted', unnumbered.accepted);
    for (const code of unnumbered.refused) this.arrivals.refused(this.#options.gateway, code);
    const newest = new Map(watermarks.map((watermark) => [watermarkKey(watermark), watermark]));
    for (const [key, watermark] of newest) {
      if (!this.#watermarks.has(key)) this.#bounds.addWatermark(watermark.gateway);
      this.#watermarks.set(key, watermark);
      const run = this.#runs.get(key);
      if (run === undefined) continue;
      const { accepted, refused, missed, sync, bytes } = run.committed(watermark.stored);
      this.#bounds.pending(watermark.gateway, -bytes);
      this.arrivals.count(watermark.gateway, 'accepted', accepted);
      for (const code of refused) this.arrivals.refused(watermark.gateway, code);
      for (let index = SPANS_MAX; index < missed.length; index += SPANS_MAX)
        this.#confirm(run, { missed: missed.slice(index, index + SPANS_MAX) });
      this.#confirm(run, {
        ...(sync === undefined ? {} : { sync }),
        ...(missed.length === 0 ? {} : { missed: missed.slice(0, SPANS_MAX) }),
      });
    }
  }

  #confirm({ gateway, run, stored }: RunIntake, more: Pick<Stored, 'sync' | 'missed'>): void {
    const message: Stored = { queue: this.#queue ?? '', stored, ...more };
    this.#options.publish(deliveryStoredTopic(gateway, run), JSON.stringify(message));
  }

  /** The queue did not take what it was given: every run returns to its watermark, and sequencers send again once it accepts. */
  refused(queue: string, watermarks: readonly RunWatermark[], lostUnnumbered: number): void {
    this.#queue = queue;
    this.#returnToWatermarks(watermarks);
    if (lostUnnumbered > 0) this.#loseUnnumbered(lostUnnumbered);
  }

  #returnToWatermarks(watermarks: readonly RunWatermark[]): void {
    this.#watermarks = new Map(watermarks.map((watermark) => [watermarkKey(watermark), watermark]));
    this.#bounds.reset(watermarks);
    for (const [key, run] of this.#runs.all) this.#putBack(run.gateway, run.rollBack(this.#watermarks.get(key)));
  }

  /** Whether the queue accepts. When it does again, sequencers are asked for what they hold. */
  setAccepting(isAccepting: boolean): void {
    const isAgain = isAccepting && !this.#isAccepting;
    this.#isAccepting = isAccepting;
    if (isAgain) this.askAll();
  }

  checks(): CheckReport[] {
    return [...this.#report.checks(this.#now()), ...this.#straps.checks()];
  }

  /** Stores what still waits for an offer. Call before the queue is stopped. */
  async stop(): Promise<void> {
    this.#live.stop();
    await this.#straps.stop();
  }
}
