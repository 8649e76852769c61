/**
 * Takes readings off MQTT into the queue: per run in order, each once; says `stored` when the queue has committed; asks bridges for
 * what is missing. What it cannot take now stays with the bridges.
 */
import { decodeResend, parseSource } from '../../contract/outbox-protocol.ts';
import {
  deviceOfTopic,
  READINGS_FILTER,
  RESEND_FILTER,
  runOfTopic,
  SOURCE_FILTER,
  storedTopic,
  SYNC_TOPIC,
} from '../../contract/topics.ts';
import { RepeatLimiter, type Logger } from '../../service/log/log.ts';
import type { MessageHandler } from '../../service/mqtt/mqtt-link.ts';
import type { Append, RunWatermark } from '../queue/queue-messages.ts';
import { checkNumbered, ForeignReadings, identityOf, type Checked } from './reading-check.ts';
import { RunIntake, type Taken } from './run-intake.ts';

export interface IntakeQueue {
  append(append: Append): void;
}

export interface IntakeOptions {
  queue: IntakeQueue;
  log: Logger;
  window: number;
  gateway: string;
  publish: (topic: string, payload: string) => boolean;
}

/** Runs that are known at once: a run is 16 hex digits of whoever may publish, so their number needs a bound. */
const RUNS_MAX = 200;

const emptyAppend = (): Append => ({ rows: { data: [], devices: [], sources: [] }, dead: [], watermarks: [] });

export class Intake {
  readonly #options: IntakeOptions;
  readonly #repeats: RepeatLimiter;
  readonly #runs = new Map<string, RunIntake>();
  readonly #foreign: ForeignReadings;
  #marks = new Map<string, RunWatermark>();
  #accepting = true;
  #ready = false;
  #oldDuplicates = 0;
  lostUnnumbered = 0;

  constructor(options: IntakeOptions) {
    this.#options = options;
    this.#repeats = new RepeatLimiter(options.log);
    this.#foreign = new ForeignReadings(options.gateway);
  }

  /** To be spread into the forwarder's subscriptions. */
  get subscriptions(): Record<string, MessageHandler> {
    return {
      [READINGS_FILTER]: (topic, payload, retained) => {
        if (!retained) this.#live(topic, payload);
      },
      [RESEND_FILTER]: (topic, payload) => this.#resent(topic, payload),
      [SOURCE_FILTER]: (topic, payload) => this.#source(topic, payload),
    };
  }

  get duplicates(): number {
    let sum = this.#oldDuplicates;
    for (const { duplicates } of this.#runs.values()) sum += duplicates;
    return sum;
  }

  /** The queue is open: the marks that it holds, before anything is taken. */
  start(marks: readonly RunWatermark[]): void {
    this.#marks = new Map(marks.map((mark) => [mark.run, mark]));
    this.#ready = true;
    this.askAll();
  }

  /** The line to the broker is up: every bridge is asked what it holds. */
  up(): void {
    this.askAll();
  }

  askAll(): void {
    this.#options.publish(SYNC_TOPIC, '{}');
  }

  #run(run: string): RunIntake {
    let intake = this.#runs.get(run);
    if (intake === undefined) {
      if (this.#runs.size >= RUNS_MAX) this.#forgetOne();
      intake = new RunIntake(run, this.#options.window, this.#marks.get(run));
      this.#runs.set(run, intake);
    } else if (this.#runs.size > RUNS_MAX / 2) {
      // In the order of their last use.
      this.#runs.delete(run);
      this.#runs.set(run, intake);
    }
    return intake;
  }

  /** Forgets the run that was used least recently and has nothing under way: its mark stands in the queue. */
  #forgetOne(): void {
    let forgotten: RunIntake | undefined;
    for (const intake of this.#runs.values()) {
      forgotten ??= intake;
      if (!intake.idle) continue;
      forgotten = intake;
      break;
    }
    if (forgotten === undefined) return;
    this.#oldDuplicates += forgotten.duplicates;
    this.#runs.delete(forgotten.run);
  }

  #live(topic: string, payload: Buffer): void {
    const device = deviceOfTopic(topic);
    if (device === undefined || !this.#ready || !this.#accepting) {
      if (device !== undefined && identityOf(payload.toString()) === undefined) this.#loseUnnumbered(1);
      return;
    }
    const text = payload.toString();
    const identity = identityOf(text);
    if (identity === undefined) {
      const append = emptyAppend();
      this.#add(append, this.#foreign.check(text, device));
      this.#options.queue.append(append);
      return;
    }
    this.#take(this.#run(identity.run).offer(identity.seq, text), device);
  }

  #loseUnnumbered(count: number): void {
    this.lostUnnumbered += count;
    this.#repeats.error(
      'unnumbered',
      { event: 'unnumbered_readings_lost', count: this.lostUnnumbered },
      'readings of other apps could not be taken: the queue does not accept',
    );
  }

  #resent(topic: string, packet: Buffer): void {
    const run = runOfTopic(topic);
    if (run === undefined || !this.#ready || !this.#accepting) return;
    const intake = this.#run(run);
    for (const { seq, payload } of decodeResend(packet)) this.#take(intake.offer(seq, payload), undefined);
  }

  #source(topic: string, payload: Buffer): void {
    const message = parseSource(payload);
    const run = runOfTopic(topic);
    if (!message.ok || run !== message.value.run) {
      this.#repeats.warn('source', { event: 'source_unreadable', topic }, 'a source message cannot be read');
      return;
    }
    // No answer is a refusal too: the bridge asks again, ever more seldom, and holds what it has.
    if (!this.#ready || !this.#accepting) return;
    const intake = this.#run(run);
    this.#take(intake.source(message.value), undefined);
    this.#options.publish(
      storedTopic(run),
      JSON.stringify({ stored: intake.stored, next: intake.next, sync: message.value.sync }),
    );
  }

  #take(taken: Taken | undefined, device: string | undefined): void {
    if (taken === undefined) return;
    const append = emptyAppend();
    for (const { seq, payload } of taken.payloads)
      this.#add(append, checkNumbered(payload, { run: taken.mark.run, seq }, device));
    append.watermarks.push(taken.mark);
    this.#options.queue.append(append);
  }

  #add(append: Append, checked: Checked): void {
    if (checked.kind === 'dead') {
      append.dead.push(checked.letter);
      this.#repeats.warn(
        `dead ${checked.letter.reason}`,
        { event: 'reading_dead', reason: checked.letter.reason, detail: checked.letter.detail, device: checked.letter.device },
        'a reading is invalid and went to the dead letters',
      );
      return;
    }
    append.rows.data.push(checked.data);
    append.rows.devices.push(checked.device);
    append.rows.sources.push(checked.source);
  }

  /** The queue has committed: bridges may forget. */
  committed(marks: readonly RunWatermark[]): void {
    const newest = new Map<string, number>();
    for (const mark of marks) {
      newest.set(mark.run, Math.max(mark.stored, newest.get(mark.run) ?? 0));
      this.#marks.delete(mark.run);
      this.#marks.set(mark.run, mark);
    }
    for (const run of this.#marks.keys()) {
      if (this.#marks.size <= 2 * RUNS_MAX) break;
      this.#marks.delete(run);
    }
    for (const [run, stored] of newest) {
      this.#runs.get(run)?.committed(stored);
      this.#options.publish(storedTopic(run), JSON.stringify({ stored }));
    }
  }

  /** The queue did not take what was given: every run goes back to its mark, bridges send again when it accepts. */
  refused(marks: readonly RunWatermark[], lostUnnumbered: number): void {
    this.#marks = new Map(marks.map((mark) => [mark.run, mark]));
    for (const intake of this.#runs.values()) intake.rollBack(this.#marks.get(intake.run));
    if (lostUnnumbered > 0) this.#loseUnnumbered(lostUnnumbered);
  }

  /** Whether the queue accepts; when it does again, bridges are asked for what they hold. */
  setAccepting(accepting: boolean): void {
    const again = accepting && !this.#accepting;
    this.#accepting = accepting;
    if (again) this.askAll();
  }
}
