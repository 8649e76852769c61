/**
 * The real protocol of both sides (Sequencer with its runs, Intake) over a simulated broker: each client has a line to it, first in first
 * out, that delivers late, drops with its connection, loses or repeats single packets, or swallows large ones. Queues commit, fail, refuse
 * and are replaced; bridges and forwarders are killed. Two bridges of different gateways use the same run digits, and a second forwarder
 * may take the same readings. Time is simulated.
 */
import { topicMatches } from '../../../service/mqtt/subscription-routes.ts';
import { BridgeModel } from './bridge-model.ts';
import { copyOf, emptyQueue, ForwarderModel, type QueueCopy } from './forwarder-model.ts';
import {
  BRIDGES,
  FORWARDERS,
  type BridgeName,
  type ForwarderName,
  type Line,
  type Packet,
  type WorldView,
} from './world-view.ts';

export type Act =
  | { do: 'read'; bridge: BridgeName; count: number; bytes?: number }
  /** Packets of one direction of one line move on. */
  | { do: 'deliver'; line: Line; up: boolean; count: number }
  | { do: 'loseOne' | 'repeatOne'; line: Line; up: boolean }
  | { do: 'cut' | 'connect'; line: Line }
  /** Everything moves for so many rounds, as it does if nothing is wrong. */
  | { do: 'flow'; rounds: number }
  | { do: 'restartBroker' | 'startSecond' }
  | { do: 'killForwarder' | 'commit' | 'failCommit' | 'refuse' | 'accept'; forwarder: ForwarderName }
  | { do: 'replaceQueue'; older: boolean }
  | { do: 'restartBridge'; bridge: BridgeName; spilled: number; version1: boolean }
  | { do: 'drop'; bridge: BridgeName; count: number }
  | { do: 'limit'; bytes: number }
  | { do: 'wait'; ms: number };

export class World implements WorldView {
  nowMs = 0;
  readonly bridges: Record<BridgeName, BridgeModel>;
  readonly forwarders: Record<ForwarderName, ForwarderModel>;
  hasSecond = false;
  readonly up: Record<Line, boolean> = { bridge: false, neighbour: false, forwarder: false, second: false };
  /** In flight: from the client to the broker, and from the broker to the client. */
  readonly #out: Record<Line, Packet[]> = { bridge: [], neighbour: [], forwarder: [], second: [] };
  readonly #in: Record<Line, Packet[]> = { bridge: [], neighbour: [], forwarder: [], second: [] };
  readonly taken = new Set<string>();
  /** Dropped by a full outbox, or neither stored nor on disk when their bridge was killed. */
  readonly gone = new Set<string>();
  readonly everStored = new Set<string>();
  #queues = 2;
  #snapshot: QueueCopy | undefined;
  #limitBytes = Number.POSITIVE_INFINITY;
  sent = 0;
  offers = 0;

  constructor() {
    this.forwarders = {
      forwarder: new ForwarderModel(this, 'forwarder', 'f000000000000001'),
      second: new ForwarderModel(this, 'second', 'f000000000000002'),
    };
    this.bridges = { bridge: new BridgeModel(this, 'bridge'), neighbour: new BridgeModel(this, 'neighbour') };
    for (const line of this.#lines) this.connect(line);
  }

  get #lines(): Line[] {
    return this.hasSecond ? [...BRIDGES, ...FORWARDERS] : [...BRIDGES, 'forwarder'];
  }

  get #activeForwarders(): ForwarderModel[] {
    return this.hasSecond ? Object.values(this.forwarders) : [this.forwarders.forwarder];
  }

  publish(line: Line, packet: Packet): boolean {
    if (!this.up[line]) return false;
    this.#out[line].push(packet);
    return true;
  }

  connect(line: Line): void {
    if (this.up[line] || (line === 'second' && !this.hasSecond)) return;
    this.up[line] = true;
    if (line === 'forwarder' || line === 'second') this.forwarders[line].intake.up();
    else this.bridges[line].sequencer.up();
  }

  cut(line: Line): void {
    this.up[line] = false;
    this.#out[line] = [];
    this.#in[line] = [];
    if (line === 'bridge' || line === 'neighbour') this.bridges[line].sequencer.down();
  }

  #atBroker(packet: Packet): void {
    if (packet.payload.length > this.#limitBytes) return;
    const { topic } = packet;
    for (const line of this.#lines) {
      if (!this.up[line]) continue;
      const filters =
        line === 'forwarder' || line === 'second'
          ? Object.keys(this.forwarders[line].intake.subscriptions)
          : this.bridges[line].sequencer.filters;
      if (filters.some((filter) => topicMatches(filter, topic))) this.#in[line].push(packet);
    }
  }

  deliver(line: Line, upward: boolean, count: number): void {
    const packets = (upward ? this.#out : this.#in)[line].splice(0, count);
    for (const packet of packets) {
      if (upward) this.#atBroker(packet);
      else if (line === 'forwarder' || line === 'second') this.forwarders[line].receive(packet);
      else this.bridges[line].sequencer.receive(packet.topic, packet.payload);
    }
  }

  #replaceQueue(older: boolean): void {
    const copy = older ? this.#snapshot : undefined;
    this.#snapshot = undefined;
    this.#queues += 1;
    this.forwarders.forwarder.restart(copy ?? emptyQueue(`f${this.#queues.toString(16).padStart(15, '0')}`));
  }

  act(act: Act): void {
    if (!this.#actOnLines(act)) this.#actOnParticipants(act);
    this.tick();
  }

  /** Acts on connections, on what travels on them, and on time; false if the act is none of these. */
  #actOnLines(act: Act): boolean {
    switch (act.do) {
      case 'deliver':
        this.deliver(act.line, act.up, act.count);
        return true;
      case 'flow':
        for (let round = 0; round < act.rounds; round += 1) this.#moveAll();
        return true;
      case 'loseOne':
        (act.up ? this.#out : this.#in)[act.line].shift();
        return true;
      case 'repeatOne': {
        const packets = (act.up ? this.#out : this.#in)[act.line];
        if (packets[0] !== undefined) packets.unshift(packets[0]);
        return true;
      }
      case 'cut':
        this.cut(act.line);
        return true;
      case 'connect':
        this.connect(act.line);
        return true;
      case 'restartBroker':
        for (const line of this.#lines) this.cut(line);
        return true;
      case 'limit':
        this.#limitBytes = act.bytes;
        return true;
      case 'wait':
        this.nowMs += act.ms;
        return true;
      default:
        return false;
    }
  }

  /** Acts on bridges, forwarders and their queues. */
  #actOnParticipants(act: Act): void {
    switch (act.do) {
      case 'read':
        this.bridges[act.bridge].read(act.count, act.bytes ?? 0);
        break;
      case 'startSecond':
        this.hasSecond = true;
        this.connect('second');
        break;
      case 'killForwarder':
        this.forwarders[act.forwarder].restart();
        break;
      case 'commit':
        this.forwarders[act.forwarder].commit();
        this.#snapshot ??= copyOf(this.forwarders.forwarder.file);
        break;
      case 'failCommit':
        this.forwarders[act.forwarder].failCommit();
        break;
      case 'refuse':
      case 'accept':
        this.forwarders[act.forwarder].setAccepting(act.do === 'accept');
        break;
      case 'replaceQueue':
        this.#replaceQueue(act.older);
        break;
      case 'restartBridge':
        this.bridges[act.bridge].restart(act.spilled, act.version1);
        break;
      case 'drop':
        this.bridges[act.bridge].drop(act.count);
        break;
    }
  }

  tick(ms = 50): void {
    this.nowMs += ms;
    for (const forwarder of this.#activeForwarders) forwarder.takeAsked();
    for (const bridge of Object.values(this.bridges)) bridge.tick();
  }

  #moveAll(ms = 50): void {
    this.tick(ms);
    for (const upward of [true, false]) for (const line of this.#lines) this.deliver(line, upward, Number.POSITIVE_INFINITY);
    for (const forwarder of this.#activeForwarders) forwarder.commit();
  }

  /** Everything works again, but for a size limit: rounds until nothing is held, or -1. */
  settle(rounds = 3000): number {
    for (const forwarder of this.#activeForwarders) if (!forwarder.accepting) forwarder.setAccepting(true);
    for (let round = 1; round < rounds; round += 1) {
      for (const line of this.#lines) this.connect(line);
      this.#moveAll(this.#isQuiet ? 250 : 50);
      if (Object.values(this.bridges).every(({ isSettled }) => isSettled) && this.#isQuiet) return round;
    }
    return -1;
  }

  get #isQuiet(): boolean {
    return (
      [this.#out, this.#in].every((packets) => Object.values(packets).every(({ length }) => length === 0)) &&
      this.#activeForwarders.every(({ pending }) => pending.length === 0)
    );
  }

  /** What all queues recorded as missed, by cause. */
  get missed(): Record<string, number> {
    const sums: Record<string, number> = {};
    for (const { file } of this.#activeForwarders)
      for (const { missed } of file.committed.values())
        for (const [cause, count] of Object.entries(missed)) sums[cause] = (sums[cause] ?? 0) + count;
    return sums;
  }

  get lost(): string[] {
    return [...this.taken].filter((id) => !this.everStored.has(id) && !this.gone.has(id));
  }

  get files(): QueueCopy[] {
    return this.#activeForwarders.map(({ file }) => file);
  }
}
