/** Retained device statuses: soon after a change, every 5 s while readings come, all of them when the broker is back. */
import type { DeviceStatus, Gap } from '../../contract/device-status.ts';
import { deviceStatusTopic, gapTopic } from '../../contract/topics.ts';

const CHANGE_DELAY_MS = 200;
const REFRESH_MS = 5000;
/** Gaps and removals that came while the broker was away; the oldest go beyond this. */
const KEPT_MAX = 1000;

export interface DeviceLine {
  publish(topic: string, payload: string, options?: { retain?: boolean }): boolean;
}

interface Kept {
  topic: string;
  payload: string;
  retain: boolean;
}

export class DevicePublisher {
  readonly #line: DeviceLine;
  readonly #status: Map<string, () => DeviceStatus> = new Map();
  readonly #published = new Map<string, string>();
  readonly #soon = new Set<string>();
  #kept: Kept[] = [];
  #timer: NodeJS.Timeout | undefined;
  #refresh: NodeJS.Timeout | undefined;

  constructor(line: DeviceLine) {
    this.#line = line;
  }

  start(): void {
    this.#refresh = setInterval(() => this.#publishChanged(this.#status.keys()), REFRESH_MS);
  }

  stop(): void {
    clearInterval(this.#refresh);
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#publishChanged(this.#status.keys());
  }

  /** From now on this device has a status. */
  add(device: string, status: () => DeviceStatus): void {
    this.#status.set(device, status);
    this.changed(device);
  }

  changed(device: string): void {
    this.#soon.add(device);
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      const devices = [...this.#soon];
      this.#soon.clear();
      this.#publishChanged(devices);
    }, CHANGE_DELAY_MS);
  }

  gap(device: string, gap: Gap): void {
    this.#send({ topic: gapTopic(device), payload: JSON.stringify(gap), retain: false });
  }

  /** Removes the retained status of a device that is no more. */
  remove(device: string): void {
    this.#status.delete(device);
    this.#published.delete(device);
    this.#soon.delete(device);
    this.clear(deviceStatusTopic(device));
  }

  /** Removes a retained topic. */
  clear(topic: string): void {
    this.#send({ topic, payload: '', retain: true });
  }

  /** The broker is back; it may have lost what was retained. */
  up(): void {
    const kept = this.#kept;
    this.#kept = [];
    for (const message of kept) this.#send(message);
    this.#published.clear();
    this.#publishChanged(this.#status.keys());
  }

  #send(message: Kept): void {
    if (this.#line.publish(message.topic, message.payload, { retain: message.retain })) return;
    this.#kept = [...this.#kept.slice(-(KEPT_MAX - 1)), message];
  }

  #publishChanged(devices: Iterable<string>): void {
    for (const device of devices) {
      const status = this.#status.get(device);
      if (status === undefined) continue;
      const payload = JSON.stringify(status());
      if (this.#published.get(device) === payload) continue;
      if (this.#line.publish(deviceStatusTopic(device), payload, { retain: true })) this.#published.set(device, payload);
    }
  }
}
