/**
 * Adoption (design section 1): what other clients publish under `hr/` becomes numbered readings, and the PUBACK of a QoS 1 publish (the
 * PUBREC of QoS 2) is sent once its reading is stored. QoS 1 and 2 go to a run that is held in memory only, because the client still has
 * them; QoS 0 goes to a run that spills.
 */
import { hash } from 'node:crypto';
import type { Client, PublishPacket } from 'aedes';
import { readPayload, type PayloadOutcome, type PublicationContext } from '../../contract/publication/adopted-reading.ts';
import { refusalOf, type Refusal } from '../../contract/publication/refusal.ts';
import { readingDeviceOf } from '../../contract/topics.ts';
import type { ReadingSink, UnnumberedReading } from '../../outbox/reading-sink.ts';
import type { CheckReport } from '../../service/health/check-report.ts';
import { RepeatLimiter, type Logger } from '../../service/log/log.ts';
import { GuardedConnection } from '../guarded-connection.ts';
import type { PublishAdopter, PublishDecision } from '../publish-adopter.ts';
import { AdoptedDevices } from './adopted-devices.ts';
import { DeviceClaims } from './device-claims.ts';
import { HeldReadings, type HeldMemory } from './held-readings.ts';
import { OutcomeCounts } from './outcome-counts.ts';
import { PublisherConnection } from './publisher-connection.ts';
import { Publisher, type HeldMessage, type Message } from './publisher.ts';
import { SpillShare } from './spill-share.ts';

export interface AdoptionSinks {
  /** For QoS 1 and 2: in memory only. */
  memory: ReadingSink;
  /** For QoS 0: spills to disk. */
  spilling: ReadingSink;
}

export interface AdoptionOptions {
  log: Logger;
  sinks: AdoptionSinks;
  clock: () => PublicationContext['clock'];
  memory?: HeldMemory;
  /** What the spilling run holds at most. */
  spillBytes: number;
  /** Tests alone. */
  noProgressMs?: number;
}

/** A publisher whose window is full and whose readings are not stored is disconnected after this. */
const NO_PROGRESS_MS = 30_000;
const TICK_MS = 250;
/** So long health names the last publisher that was disconnected. */
const DISCONNECTED_SHOWN_MS = 300_000;
/** Publishers without a connection that are remembered for redeliveries. */
const ABSENT_MAX = 1000;
/** Aedes gives this kind of id to a client that has none of its own: it cannot come back under it. */
const GIVEN_CLIENT_ID = /^aedes_/;

interface Arrival {
  publisher: Publisher;
  device: string | undefined;
  payload: Buffer;
  message: Message | undefined;
  outcome: PayloadOutcome;
}

export class Adoption implements PublishAdopter {
  readonly counts = new OutcomeCounts();
  readonly devices = new AdoptedDevices();
  readonly #options: AdoptionOptions;
  readonly #repeats: RepeatLimiter;
  readonly #claims = new DeviceClaims();
  readonly #held: HeldReadings;
  readonly #share: SpillShare;
  readonly #publishers = new Map<string, Publisher>();
  readonly #byClient = new Map<Client, Publisher>();
  readonly #releaseShare = (watermark: number): void => this.#share.release(watermark);
  #timer: NodeJS.Timeout | undefined;
  #disconnected: { user: string; atMs: number } | undefined;
  /**
   * Whether acknowledgements are held until a reading is stored. If not, the broker acknowledges at once, and every reading goes to the
   * spilling run, because its publisher no longer has it.
   */
  isHolding = false;
  /** Connections that were closed because nothing of them was stored for too long, since the start. */
  stalledConnections = 0;

  constructor(options: AdoptionOptions) {
    this.#options = options;
    this.#repeats = new RepeatLimiter(options.log);
    this.#share = new SpillShare(options.spillBytes);
    this.#held = new HeldReadings({
      sink: options.sinks.memory,
      memory: options.memory,
      onProgress: (publishers) => {
        for (const { connection } of publishers) connection?.readOn();
      },
      onLost: (held, cause) => this.#lost(held, cause),
    });
  }

  /** Reads the device names that bridges used before, and keeps changes in this file. */
  keepClaimsIn(file: string): void {
    this.#claims.keepIn(file, this.#options.log);
  }

  /** A check while something is wrong with that file. */
  claimChecks(): CheckReport[] {
    return this.#claims.checks();
  }

  start(): void {
    this.#held.start();
    this.#options.sinks.spilling.on('stored', this.#releaseShare);
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#held.stop();
    this.#options.sinks.spilling.off('stored', this.#releaseShare);
    await this.#claims.stop();
  }

  /** Readings whose acknowledgement is held. */
  get heldCount(): number {
    return this.#held.count;
  }

  get heldBytes(): number {
    return this.#held.bytes;
  }

  /** How long the oldest held reading has been waiting. */
  get oldestHeldMs(): number {
    return this.#held.oldestAgeMs(performance.now());
  }

  /** The user whose connection was closed a short time ago because nothing of it was stored. */
  get disconnectedUser(): string | undefined {
    const isRecent = this.#disconnected !== undefined && performance.now() - this.#disconnected.atMs < DISCONNECTED_SHOWN_MS;
    return isRecent ? this.#disconnected?.user : undefined;
  }

  /** A user's client is connected. */
  connected(client: Client, user: string): void {
    const key = `${user}\0${client.id}`;
    let publisher = this.#publishers.get(key);
    if (publisher === undefined) {
      publisher = new Publisher(user, client.id);
      this.#publishers.set(key, publisher);
    }
    const known = publisher;
    known.connection = new PublisherConnection(client);
    this.#byClient.set(client, known);
    if (client.conn instanceof GuardedConnection) client.conn.limitPublishes(() => this.#held.creditOf(known));
  }

  disconnected(client: Client): void {
    const publisher = this.#byClient.get(client);
    if (publisher === undefined) return;
    this.#byClient.delete(client);
    if (publisher.connection?.client === client) publisher.connection = undefined;
    if (GIVEN_CLIENT_ID.test(publisher.clientId)) publisher.forgetSettled();
    this.#forgetAbsent();
  }

  /** Forgets publishers that need no memory, and the longest known ones without a connection if there are too many. */
  #forgetAbsent(): void {
    let excess = this.#publishers.size - this.#byClient.size - ABSENT_MAX;
    for (const [key, publisher] of this.#publishers) {
      const isExcess = excess > 0 && publisher.connection === undefined && publisher.heldCount === 0;
      if (!isExcess && !publisher.isForgettable) continue;
      this.#publishers.delete(key);
      excess -= 1;
    }
  }

  /** Takes a publish under `hr/` of a connected user. */
  take(client: Client, packet: PublishPacket): PublishDecision {
    const publisher = this.#byClient.get(client);
    // Not a connection that is registered: what is not stored is not acknowledged.
    if (publisher === undefined) return { isDelivered: false, isAcknowledgedByUs: true };
    const { topic } = packet;
    const payload = Buffer.isBuffer(packet.payload) ? packet.payload : Buffer.from(packet.payload);
    const device = readingDeviceOf(topic);
    const outcome = this.#outcomeOf(publisher, topic, device, payload);
    const message = this.#messageOf(packet, payload, outcome);
    const isLive = device !== undefined && !this.#claims.has(device);
    const arrival = { publisher, device, payload, message, outcome };
    if (message === undefined || !this.isHolding) {
      this.#takeUnheld(arrival);
      return { isDelivered: isLive, isAcknowledgedByUs: false };
    }
    const redelivery = publisher.redeliveryOf(message, packet.dup);
    if (redelivery === undefined) this.#takeHeld(arrival, message);
    else {
      this.counts.add('duplicate');
      if (redelivery === 'settled') publisher.acknowledge(message);
    }
    return { isDelivered: isLive && redelivery === undefined, isAcknowledgedByUs: true };
  }

  bridgePublished(topic: string, payloadBytes: number): void {
    this.#claims.note(topic, payloadBytes);
  }

  #outcomeOf(publisher: Publisher, topic: string, device: string | undefined, payload: Buffer): PayloadOutcome {
    if (device === undefined)
      return {
        kind: 'refused',
        code: 'topic',
        detail: `readings are published on hr/<device>/bpm, not on ${topic.slice(0, 256)}`,
      };
    if (this.#claims.has(device))
      return { kind: 'refused', code: 'device_claimed', detail: `the device name ${device} belongs to a strap of this box` };
    return readPayload(payload, { device, publisher: publisher.user, arrivedAt: new Date(), clock: this.#options.clock() });
  }

  #messageOf({ qos, messageId, topic }: PublishPacket, payload: Buffer, outcome: PayloadOutcome): Message | undefined {
    if ((qos !== 1 && qos !== 2) || messageId === undefined) return undefined;
    const digest = hash('sha1', Buffer.concat([Buffer.from(`${topic}\0`), payload]), 'base64');
    return { messageId, qos, digest, timed: outcome.kind === 'reading' && outcome.timed };
  }

  /** What is numbered for an arrival; undefined if nothing is to be stored. Counts the outcome. */
  #numberedOf({ publisher, device, payload, outcome }: Arrival): UnnumberedReading | undefined {
    switch (outcome.kind) {
      case 'reading':
        this.counts.add('adopted');
        this.devices.note(outcome.reading.device, publisher.user);
        return outcome.reading;
      case 'refused':
        return this.#refuse(outcome, { device, publisher: publisher.user, arrivedAt: new Date(), payload });
      default:
        this.counts.add(outcome.kind);
        return undefined;
    }
  }

  #refuse(refusal: Refusal, rest: Omit<Parameters<typeof refusalOf>[0], keyof Refusal>): UnnumberedReading {
    const { code, detail } = refusal;
    this.counts.addRefused(code);
    this.#repeats.warn(
      code,
      { event: 'publish_refused', code, detail, user: rest.publisher, device: rest.device },
      `a publish of another client was refused (${code}) and becomes a dead letter`,
    );
    return refusalOf({ code, detail, ...rest });
  }

  #takeHeld(arrival: Arrival, message: Message): void {
    const { publisher, payload } = arrival;
    const numbered = this.#numberedOf(arrival);
    if (numbered === undefined) {
      publisher.supersede(message.messageId);
      publisher.acknowledge(message);
      return;
    }
    this.#held.add(publisher, message, numbered, payload.length);
    if (this.#held.count > 0) this.#timer ??= setInterval(() => this.#tick(), TICK_MS).unref();
  }

  #takeUnheld(arrival: Arrival): void {
    const { publisher, payload, outcome } = arrival;
    const isStored = outcome.kind === 'reading' || outcome.kind === 'refused';
    if (isStored && !this.#share.hasRoom(publisher.user, payload.length)) {
      this.counts.add('share_full');
      this.#repeats.warn(
        'share_full',
        { event: 'share_full', user: publisher.user },
        "a publisher's QoS 0 readings fill its share of the outbox: they are delivered live, but not stored",
      );
      return;
    }
    const numbered = this.#numberedOf(arrival);
    if (numbered === undefined) return;
    this.#share.add(publisher.user, payload.length, this.#options.sinks.spilling.add(numbered).seq);
  }

  #lost(held: HeldMessage, cause: string): void {
    const { user, connection } = held.publisher;
    this.#repeats.warn(
      'held_reading_missed',
      { event: 'held_reading_missed', user, cause, seq: held.seq },
      'a reading was dropped or recorded as missed before it was stored: its publisher is disconnected and sends it again',
    );
    connection?.close();
  }

  /** Runs while acknowledgements are held. */
  #tick(): void {
    if (this.#held.count === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
    const nowMs = performance.now();
    for (const publisher of this.#byClient.values()) {
      const { connection, progressAtMs, user } = publisher;
      connection?.readOn();
      const unreadSinceMs = connection?.unreadSinceMs;
      if (connection === undefined || unreadSinceMs === undefined) continue;
      if (nowMs - Math.max(unreadSinceMs, progressAtMs) < (this.#options.noProgressMs ?? NO_PROGRESS_MS))
        connection.keepAlive(nowMs);
      else {
        this.stalledConnections += 1;
        this.#disconnected = { user, atMs: nowMs };
        this.#repeats.warn(
          'publisher_stalled',
          { event: 'publisher_stalled', user, held: publisher.heldCount },
          'a publisher has too many unacknowledged readings and none was stored for 30 s: it is disconnected',
        );
        connection.close();
      }
    }
  }
}
