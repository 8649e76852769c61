/**
 * The bridge's and the forwarder's own logic (OutboxRun, Intake) over a simulated link: two lines to a broker, each first in first out, that
 * deliver late, drop with their connection, lose or repeat single packets; a queue that commits, fails, refuses, is replaced; restarts of
 * all. Time is simulated.
 */
import assert from 'node:assert/strict';
import { encodeResend, parseSource, parseStored } from '../../../contract/outbox-protocol.ts';
import { OutboxRun } from '../../../outbox/outbox-run.ts';
import { Intake } from '../../../forwarder/intake/intake.ts';
import type { Append, RunWatermark } from '../../../forwarder/queue/queue-messages.ts';
import { testConfig, testLog } from '../../support/test-config.ts';

export const WINDOW = 40;

interface Packet {
  topic: string;
  payload: string;
}

type Line = 'bridge' | 'forwarder';

export type Act =
  | { do: 'read'; count: number }
  /** Packets of one direction of one line move on. */
  | { do: 'deliver'; line: Line; up: boolean; count: number }
  | { do: 'loseOne' | 'repeatOne'; line: Line; up: boolean }
  | { do: 'cut' | 'connect'; line: Line }
  /** Everything moves for so many rounds, as it does where nothing is wrong. */
  | { do: 'flow'; rounds: number }
  | { do: 'restartBroker' | 'killForwarder' | 'commit' | 'failCommit' | 'refuse' | 'accept' }
  | { do: 'replaceQueue'; older: boolean }
  | { do: 'restartBridge'; spilled: number }
  | { do: 'giveUp'; count: number }
  | { do: 'wait'; ms: number };

const log = testLog(testConfig({}));
const payloadOf = (run: string, seq: number): string =>
  `{"timestamp":"2026-11-22T19:00:00.123Z","heart_rate":72,"device":"strap","gateway":"g","run":"${run}","seq":${seq}}`;
const identity = (run: string, seq: number): string => `${run} ${seq}`;

/** The queue as the forwarder's main thread sees it, with its epochs. */
class ModelQueue {
  committed = new Map<string, RunWatermark>();
  stored = new Map<string, number[]>();
  pending: Append[] = [];
  accepting = true;
  epoch = 0;
  readonly asked: { append: Append; epoch: number }[] = [];
  knownEpoch = 0;

  append(append: Append): void {
    this.asked.push({ append, epoch: this.knownEpoch });
  }
}

export class World {
  nowMs = 0;
  queue = new ModelQueue();
  #intake: Intake;
  runs: OutboxRun[] = [];
  #next = 0;
  readonly up: Record<Line, boolean> = { bridge: false, forwarder: false };
  /** In flight: from the client to the broker, and from the broker to the client. */
  #out: Record<Line, Packet[]> = { bridge: [], forwarder: [] };
  #in: Record<Line, Packet[]> = { bridge: [], forwarder: [] };
  readonly taken = new Set<string>();
  readonly droppedByBridge = new Map<string, number>();
  readonly gone = new Set<string>();
  readonly earlierQueues = new Set<string>();
  readonly everStored = new Set<string>();
  readonly liveSent = new Map<string, number>();
  #snapshot: { committed: Map<string, RunWatermark>; stored: Map<string, number[]> } | undefined;
  resent = 0;
  sources = 0;

  constructor() {
    this.#intake = this.#newIntake();
    this.#newRun();
    this.connect('forwarder');
    this.connect('bridge');
  }

  #newRun(): void {
    this.#next += 1;
    this.runs.push(
      new OutboxRun({ run: this.#next.toString(16).padStart(16, '0'), window: WINDOW, recovered: false, random: () => 0.5 }),
    );
  }

  get #own(): OutboxRun {
    const own = this.runs.at(-1);
    assert.ok(own !== undefined);
    return own;
  }

  #newIntake(): Intake {
    const intake = new Intake({
      queue: { append: (append) => this.queue.append(append) },
      log,
      window: WINDOW,
      gateway: 'g',
      publish: (topic, payload) => this.#publish('forwarder', { topic, payload }),
    });
    intake.start([...this.queue.committed.values()]);
    return intake;
  }

  #publish(line: Line, packet: Packet): boolean {
    if (!this.up[line]) return false;
    this.#out[line].push(packet);
    return true;
  }

  connect(line: Line): void {
    if (this.up[line]) return;
    this.up[line] = true;
    if (line === 'forwarder') this.#intake.up();
    else for (const run of this.runs) if (run.unsettled) run.askedForSource();
  }

  cut(line: Line): void {
    this.up[line] = false;
    this.#out[line] = [];
    this.#in[line] = [];
    if (line === 'bridge') for (const run of this.runs) run.lineDown();
  }

  #atBroker({ topic, payload }: Packet): void {
    const to: Line = topic.startsWith('edge/stored/') || topic === 'edge/sync' ? 'bridge' : 'forwarder';
    if (this.up[to]) this.#in[to].push({ topic, payload });
  }

  #atForwarder({ topic, payload }: Packet): void {
    for (const [filter, handler] of Object.entries(this.#intake.subscriptions))
      if (topic.startsWith(filter.split('+')[0] ?? '')) handler(topic, Buffer.from(payload), false);
    this.#queueTakes();
  }

  #atBridge({ topic, payload }: Packet): void {
    if (topic === 'edge/sync') {
      for (const run of this.runs) if (run.unsettled) run.askedForSource();
      return;
    }
    const message = parseStored(payload);
    assert.ok(message.ok);
    this.runs.find(({ run }) => topic.endsWith(run))?.heard(message.value, this.nowMs);
  }

  deliver(line: Line, upward: boolean, count: number): void {
    const packets = (upward ? this.#out : this.#in)[line].splice(0, count);
    for (const packet of packets) {
      if (upward) this.#atBroker(packet);
      else if (line === 'forwarder') this.#atForwarder(packet);
      else this.#atBridge(packet);
    }
  }

  /** What the queue's thread does with what it was sent. */
  #queueTakes(): void {
    for (const { append, epoch } of this.queue.asked.splice(0)) {
      if (this.queue.accepting && epoch >= this.queue.epoch) this.queue.pending.push(append);
      else this.#refuse();
    }
  }

  #refuse(): void {
    this.queue.epoch += 1;
    this.queue.knownEpoch = this.queue.epoch;
    this.#intake.refused([...this.queue.committed.values()], 0);
  }

  commit(): void {
    const { pending } = this.queue;
    if (pending.length === 0) return;
    this.queue.pending = [];
    for (const { rows, dead, watermarks } of pending) {
      assert.deepEqual(dead, []);
      for (const data of rows.data) {
        const { run, seq } = JSON.parse(data) as { run: string; seq: number };
        const seqs = this.queue.stored.get(run) ?? [];
        this.queue.stored.set(run, seqs);
        assert.ok(seq > (seqs.at(-1) ?? 0), `run ${run}: ${seq} is stored after ${seqs.at(-1)}`);
        seqs.push(seq);
        this.everStored.add(identity(run, seq));
      }
      for (const mark of watermarks) {
        assert.ok(mark.stored >= (this.queue.committed.get(mark.run)?.stored ?? 0), 'a mark never goes back');
        this.queue.committed.set(mark.run, mark);
      }
    }
    this.#intake.committed(pending.flatMap(({ watermarks }) => watermarks));
  }

  read(count: number): void {
    const own = this.#own;
    for (let i = 0; i < count; i += 1) {
      const seq = own.nextSeq();
      const id = identity(own.run, seq);
      this.taken.add(id);
      own.hold({ seq, payload: payloadOf(own.run, seq) }, this.nowMs);
      if (!this.#publish('bridge', { topic: 'hr/strap/bpm', payload: payloadOf(own.run, seq) })) continue;
      own.sentLive(seq);
      this.liveSent.set(id, (this.liveSent.get(id) ?? 0) + 1);
    }
  }

  #restartForwarder(): void {
    this.cut('forwarder');
    this.queue.pending = [];
    this.queue.accepting = true;
    this.queue.epoch = 0;
    this.queue.knownEpoch = 0;
    this.queue.asked.length = 0;
    this.#intake = this.#newIntake();
  }

  #replaceQueue(older: boolean): void {
    const copy = older ? this.#snapshot : undefined;
    this.#snapshot = undefined;
    this.queue.committed = new Map(copy?.committed);
    this.queue.stored = new Map([...(copy?.stored ?? [])].map(([run, seqs]) => [run, [...seqs]]));
    this.#restartForwarder();
  }

  /** The bridge is killed: of what it held, the first `spilled` of each run stand on disk. */
  #restartBridge(spilled: number): void {
    this.cut('bridge');
    const before = this.runs;
    this.runs = [];
    for (const old of before) {
      const kept = old.recovered ? old.held : old.held.slice(0, spilled);
      for (const { seq } of old.held.slice(kept.length)) this.gone.add(identity(old.run, seq));
      if (kept.length === 0) continue;
      const again = new OutboxRun({
        run: old.run,
        window: WINDOW,
        recovered: true,
        last: kept.at(-1)?.seq ?? 0,
        dropped: old.dropped,
        random: () => 0.5,
      });
      for (const entry of kept) again.hold(entry, this.nowMs);
      this.runs.push(again);
    }
    this.#newRun();
  }

  act(act: Act): void {
    switch (act.do) {
      case 'read':
        this.read(act.count);
        break;
      case 'deliver':
        this.deliver(act.line, act.up, act.count);
        break;
      case 'flow':
        for (let round = 0; round < act.rounds; round += 1) this.#moveAll();
        break;
      case 'loseOne':
        (act.up ? this.#out : this.#in)[act.line].shift();
        break;
      case 'repeatOne': {
        const packets = (act.up ? this.#out : this.#in)[act.line];
        if (packets[0] !== undefined) packets.unshift(packets[0]);
        break;
      }
      case 'cut':
        this.cut(act.line);
        break;
      case 'connect':
        this.connect(act.line);
        break;
      case 'restartBroker':
        this.cut('bridge');
        this.cut('forwarder');
        break;
      case 'killForwarder':
        this.#restartForwarder();
        break;
      case 'commit':
        this.commit();
        if (this.#snapshot === undefined)
          this.#snapshot = {
            committed: new Map(this.queue.committed),
            stored: new Map([...this.queue.stored].map(([run, seqs]) => [run, [...seqs]])),
          };
        break;
      case 'failCommit':
        this.queue.pending = [];
        this.#refuse();
        break;
      case 'refuse':
        this.queue.accepting = false;
        this.queue.pending = [];
        this.#intake.setAccepting(false);
        this.#refuse();
        break;
      case 'accept':
        this.queue.accepting = true;
        this.#intake.setAccepting(true);
        break;
      case 'replaceQueue':
        this.#replaceQueue(act.older);
        break;
      case 'restartBridge':
        this.#restartBridge(act.spilled);
        break;
      case 'giveUp': {
        const own = this.#own;
        for (const { seq } of own.dropOldest(act.count, 'outbox_full')) {
          this.gone.add(identity(own.run, seq));
          this.droppedByBridge.set(own.run, (this.droppedByBridge.get(own.run) ?? 0) + 1);
        }
        break;
      }
      case 'wait':
        this.nowMs += act.ms;
    }
    this.pump();
  }

  /** What the bridge's tick does. */
  pump(): void {
    this.nowMs += 50;
    this.#queueTakes();
    if (!this.up.bridge) return;
    for (const run of this.runs) {
      const source = run.dueSource(this.nowMs);
      if (source !== undefined) {
        assert.ok(parseSource(JSON.stringify(source)).ok);
        this.sources += 1;
        this.#publish('bridge', { topic: `edge/source/${run.run}`, payload: JSON.stringify(source) });
      }
      for (let packet = run.nextResend(); packet !== undefined; packet = run.nextResend()) {
        this.resent += packet.length;
        const furthest = packet.at(-1)?.seq ?? 0;
        assert.ok(furthest <= run.stored + WINDOW, `${furthest} is sent, ${run.stored} is stored`);
        this.#publish('bridge', { topic: `edge/resend/${run.run}`, payload: encodeResend(packet) });
      }
    }
  }

  #moveAll(): void {
    this.pump();
    for (const upward of [true, false])
      for (const line of ['bridge', 'forwarder'] as const) this.deliver(line, upward, Number.POSITIVE_INFINITY);
    this.commit();
  }

  /** Everything works again: rounds until nothing is held, or -1. */
  settle(rounds = 2000): number {
    if (!this.queue.accepting) this.act({ do: 'accept' });
    for (let round = 1; round < rounds; round += 1) {
      this.connect('forwarder');
      this.connect('bridge');
      this.#moveAll();
      this.runs = this.runs.filter((run) => run === this.#own || run.unsettled);
      if (this.runs.every((run) => !run.unsettled) && this.#quiet) return round;
    }
    return -1;
  }

  get #quiet(): boolean {
    return (
      [this.#out, this.#in].every(({ bridge, forwarder }) => bridge.length + forwarder.length === 0) &&
      this.queue.pending.length === 0
    );
  }

  get missed(): Record<string, number> {
    const sums: Record<string, number> = {};
    for (const { missed } of this.queue.committed.values())
      for (const [cause, count] of Object.entries(missed)) sums[cause] = (sums[cause] ?? 0) + count;
    return sums;
  }

  get lost(): string[] {
    return [...this.taken].filter((id) => !this.everStored.has(id) && !this.gone.has(id));
  }
}
