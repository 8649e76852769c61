/**
 * Readings on `hr/<device>/bpm` of a broker where no gateway adopts them. A message with the identity of a sequencer that this forwarder
 * serves is a copy: the reading itself arrives on the delivery plane. Any other numbered message waits for that sequencer's offer, for 10 s
 * and within bounds, and is then stored like an un-numbered one.
 */
import { deviceOfTopic } from '../../contract/topics.ts';
import type { Arrivals } from './arrivals.ts';
import { deadLetter, type Checked } from './reading-check.ts';
import { UnnumberedReadings } from './unnumbered.ts';

export interface LiveReadingsOptions {
  /** Name of this box. */
  gateway: string;
  arrivals: Arrivals;
  /** Whether (gateway, run) was offered to this forwarder or has a watermark. */
  isServed: (gateway: string, run: string) => boolean;
  /** A bridge of version 1 has this run: it keeps its readings until it is updated. */
  isOfVersion1: (run: string) => boolean;
  /** A strap of a sequencer that is served has this name: nobody else's reading may have it. */
  isClaimed: (device: string) => boolean;
  /** Whether the queue takes readings now. */
  isAccepting: () => boolean;
  store: (checked: Checked) => void;
  /** A reading that nobody holds any more could not be taken. */
  onLost: () => void;
}

const WAIT_MS = 10_000;
const WAITING_MAX = 2000;
const WAITING_BYTES_MAX = 1024 * 1024;

interface Waiting {
  dueMs: number;
  device: string;
  payload: string;
  gateway: string;
  run: string;
}

/** The identity in a payload, if it has one: services write their numbers in this form. Cheaper than parsing the JSON twice. */
function identityIn(payload: string): { gateway: string; run: string; device: string } | undefined {
  const run = /"run":"([0-9a-f]{16})"/.exec(payload)?.[1];
  if (run === undefined || !/"seq":\d{1,16}[,}]/.test(payload)) return undefined;
  const gateway = /"gateway":"([a-z0-9-]{1,64})"/.exec(payload)?.[1] ?? '';
  return { run, gateway, device: /"device":"([a-z0-9-]{1,64})"/.exec(payload)?.[1] ?? '' };
}

export class LiveReadings {
  readonly #options: LiveReadingsOptions;
  readonly #unnumbered: UnnumberedReadings;
  /** In the order of arrival. */
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: LiveReadingsOptions) {
    this.#options = options;
    this.#unnumbered = new UnnumberedReadings(options.gateway);
  }

  receive(topic: string, message: Buffer): void {
    const device = deviceOfTopic(topic);
    if (device === undefined) return;
    const payload = message.toString();
    const identity = identityIn(payload);
    if (identity === undefined || identity.device !== device) return this.#store(payload, device);
    const { gateway, run } = identity;
    if (this.#options.isServed(gateway, run)) return this.#options.arrivals.count(gateway, 'copy', 1);
    if (this.#options.isOfVersion1(run)) return this.#options.arrivals.count(gateway, 'put_back', 1);
    this.#waiting.push({ dueMs: performance.now() + WAIT_MS, device, payload, gateway, run });
    this.#waitingBytes += payload.length;
    while (this.#waiting.length > WAITING_MAX || this.#waitingBytes > WAITING_BYTES_MAX) this.#storeOldest();
    this.#schedule();
  }

  /** A sequencer has offered its run: what was waiting for it is a copy. */
  offered(gateway: string, run: string): void {
    const rest = this.#waiting.filter((waiting) => waiting.gateway !== gateway || waiting.run !== run);
    if (rest.length === this.#waiting.length) return;
    this.#options.arrivals.count(gateway, 'copy', this.#waiting.length - rest.length);
    this.#waiting = rest;
    this.#waitingBytes = rest.reduce((sum, { payload }) => sum + payload.length, 0);
  }

  #storeOldest(): void {
    const oldest = this.#waiting.shift();
    if (oldest === undefined) return;
    this.#waitingBytes -= oldest.payload.length;
    if (this.#options.isOfVersion1(oldest.run)) this.#options.arrivals.count(oldest.gateway, 'put_back', 1);
    else this.#store(oldest.payload, oldest.device);
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

  #store(payload: string, device: string): void {
    if (!this.#options.isAccepting()) return this.#options.onLost();
    this.#options.store(
      this.#options.isClaimed(device)
        ? {
            kind: 'dead',
            letter: deadLetter('device_claimed', `${device} belongs to a strap of this box`, payload, device, null),
          }
        : this.#unnumbered.check(payload, device),
    );
  }

  /** Stores what still waits. */
  stop(): void {
    clearTimeout(this.#timer);
    while (this.#waiting.length > 0) this.#storeOldest();
  }
}
