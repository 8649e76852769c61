/**
 * Readings on `hr/<device>/bpm` of a broker where no gateway adopts them. A strap's message with the identity of a sequencer that this
 * forwarder serves is a copy: the reading itself arrives on the delivery plane. Any other numbered message waits for that sequencer's offer
 * and for its strap, for 10 s and within bounds, and is then stored like an un-numbered one: another box's reading that was relayed, or a
 * message of an app that keeps the fields of a reading that it received.
 */
import { readJsonText, type JsonValue } from '../../contract/publication/json-text.ts';
import { exactText } from '../../contract/publication/payload-text.ts';
import { readingDeviceOf } from '../../contract/topics.ts';
import type { Arrivals } from './arrivals.ts';
import type { Publication } from './publications.ts';

export interface LiveReadingsOptions {
  arrivals: Arrivals;
  /** Whether (gateway, run) was offered to this forwarder or has a watermark. */
  isServed: (gateway: string, run: string) => boolean;
  /** A bridge of version 1 has this run: it keeps its readings until it is updated. */
  isOfVersion1: (run: string) => boolean;
  /** A strap of a served sequencer has this name: nobody else's reading may have it. */
  isClaimed: (device: string) => boolean;
  /** Whether the queue takes readings now. */
  isAccepting: () => boolean;
  store: (publication: Publication, isClaimed: boolean) => void;
  /** A reading that nobody holds any more could not be taken. */
  onLost: () => void;
}

const WAIT_MS = 10_000;
const WAITING_MAX = 2000;
const WAITING_BYTES_MAX = 1024 * 1024;

interface Waiting {
  dueMs: number;
  publication: Publication;
  gateway: string;
  run: string;
}

/**
 * The identity of a reading that a sequencer numbered, if the payload is one. Its own fields count, not those of an object inside it: a
 * flow may wrap our readings.
 */
function identityIn(payload: Buffer): { gateway: string; run: string; device: string } | undefined {
  // Most publications of other clients have no such field.
  if (!payload.includes('"run"')) return undefined;
  const json = readJsonText(exactText(payload) ?? '');
  if (!json.ok || json.value.kind !== 'object') return undefined;
  const { members } = json.value;
  const text = (value: JsonValue | undefined): string => (value?.kind === 'string' ? value.value : '');
  const run = text(members.get('run'));
  if (!/^[0-9a-f]{16}$/.test(run) || members.get('seq')?.kind !== 'number') return undefined;
  return { run, gateway: text(members.get('gateway')), device: text(members.get('device')) };
}

export class LiveReadings {
  readonly #options: LiveReadingsOptions;
  /** In the order of arrival. */
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: LiveReadingsOptions) {
    this.#options = options;
  }

  receive(topic: string, payload: Buffer): void {
    const device = readingDeviceOf(topic);
    const publication = { device, topic, payload, arrivedAt: new Date() };
    const identity = identityIn(payload);
    if (identity === undefined || identity.device !== device) return this.#store(publication);
    const { gateway, run } = identity;
    if (this.#isCopy({ publication, gateway, run })) return this.#options.arrivals.count(gateway, 'copy', 1);
    if (this.#options.isOfVersion1(run)) return this.#options.arrivals.count(gateway, 'put_back', 1);
    this.#waiting.push({ dueMs: performance.now() + WAIT_MS, publication, gateway, run });
    this.#waitingBytes += payload.length;
    while (this.#waiting.length > WAITING_MAX || this.#waitingBytes > WAITING_BYTES_MAX) this.#storeOldest();
    this.#schedule();
  }

  /** A message of a device that is no strap's is none: an app may keep the numbers of a reading and name a device of its own. */
  #isCopy({ publication: { device }, gateway, run }: Pick<Waiting, 'publication' | 'gateway' | 'run'>): boolean {
    return this.#options.isServed(gateway, run) && device !== undefined && this.#options.isClaimed(device);
  }

  /** A run was offered, or a strap has got a name: what was waiting for it is a copy. */
  settle(): void {
    const rest: Waiting[] = [];
    for (const waiting of this.#waiting)
      if (this.#isCopy(waiting)) this.#options.arrivals.count(waiting.gateway, 'copy', 1);
      else rest.push(waiting);
    this.#waiting = rest;
    this.#waitingBytes = rest.reduce((sum, { publication: { payload } }) => sum + payload.length, 0);
  }

  #storeOldest(): void {
    const oldest = this.#waiting.shift();
    if (oldest === undefined) return;
    this.#waitingBytes -= oldest.publication.payload.length;
    if (this.#options.isOfVersion1(oldest.run)) this.#options.arrivals.count(oldest.gateway, 'put_back', 1);
    else this.#store(oldest.publication);
  }

  #schedule(): void {
    const oldest = this.#waiting[0];
    if (oldest === undefined || this.#timer !== undefined) return;
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        const now = performance.now();
        while (this.#waiting[0] !== undefined && this.#waiting[0].dueMs <= now) this.#storeOldest();
        this.#schedule();
      },
      Math.max(1, oldest.dueMs - performance.now()),
    );
  }

  #store(publication: Publication): void {
    const { device } = publication;
    if (!this.#options.isAccepting()) return this.#options.onLost();
    this.#options.store(publication, device !== undefined && this.#options.isClaimed(device));
  }

  /** Stores what still waits. */
  stop(): void {
    clearTimeout(this.#timer);
    while (this.#waiting.length > 0) this.#storeOldest();
  }
}
