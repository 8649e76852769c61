/** Publishes retained device statuses: soon after a change, every 5 s if they differ, and all of them when the broker is connected. */
import type { DeviceStatus, Gap } from '../../contract/device-status.ts';
import { deviceStatusTopic, gapTopic } from '../../contract/topics.ts';
import type { PublishLine } from './publish-line.ts';

const CHANGE_DELAY_MS = 200;
const REFRESH_MS = 5000;
/** Gaps and removals kept while the broker is not connected; beyond this the oldest are dropped. */
const KEPT_MAX = 1000;

interface Kept {
  topic: string;
  payload: string;
  retain: boolean;
}

export class DevicePublisher {
  readonly #line: PublishLine;
  readonly #gateway: () => string;
  readonly #status: Map<string, () => DeviceStatus> = new Map();
  readonly #published = new Map<string, string>();
  readonly #soon = new Set<string>();
  #kept: Kept[] = [];
  #timer: NodeJS.Timeout | undefined;
  #refresh: NodeJS.Timeout | undefined;

  /** `gateway`: name of this box; called when a status is published. */
  constructor(line: PublishLine, gateway: () => string) {
    this.#line = line;
    this.#gateway = gateway;
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

  /** Starts publishing the status of a device. */
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

  /** Stops publishing a device and removes its retained status. */
  remove(device: string): void {
    this.#status.delete(device);
    this.#published.delete(device);
    this.#soon.delete(device);
    this.#send({ topic: deviceStatusTopic(device), payload: '', retain: true });
  }

  /** The broker is connected; it may have lost its retained messages. */
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
      const payload = JSON.stringify({ ...status(), gateway: this.#gateway() });
      if (this.#published.get(device) === payload) continue;
      if (this.#line.publish(deviceStatusTopic(device), payload, { retain: true })) this.#published.set(device, payload);
    }
  }
}
