/**
 * Publishes retained device statuses: soon after a change, every 5 s if they differ, and all of them when the broker is connected. A status
 * that another bridge owns stays as it is (status-owners.ts).
 */
import type { DeviceStatus, Gap } from '../../contract/device-status.ts';
import type { ServiceStatus } from '../../contract/service-status.ts';
import { deviceStatusTopic, gapTopic } from '../../contract/topics.ts';
import type { PublishLine } from './publish-line.ts';
import { StatusOwners } from './status-owners.ts';

const CHANGE_DELAY_MS = 200;
const REFRESH_MS = 5000;
/** Gaps, and removals, kept while the broker is not connected; beyond this the oldest are dropped. */
const KEPT_MAX = 1000;

export class DevicePublisher {
  readonly #line: PublishLine;
  readonly #gateway: () => string;
  readonly #owners: StatusOwners;
  readonly #status: Map<string, () => DeviceStatus> = new Map();
  readonly #published = new Map<string, string>();
  readonly #soon = new Set<string>();
  #gaps: { device: string; gap: Gap }[] = [];
  /** Devices whose status is still to be removed. Apart from the gaps: strangers that come and go must not push those out. */
  readonly #removed = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  #refresh: NodeJS.Timeout | undefined;

  /** `gateway`: name of this box; called when a status is published. */
  constructor(line: PublishLine, gateway: () => string) {
    this.#line = line;
    this.#gateway = gateway;
    this.#owners = new StatusOwners(gateway);
  }

  /** A status of a bridge. */
  bridge(topic: string, status: ServiceStatus): void {
    this.#owners.bridge(topic, status);
  }

  /** A status on the topic of a device. Returns whether it is another bridge's that is online: nothing of it is ours. */
  received(status: DeviceStatus): boolean {
    const isOthers = this.#owners.received(status);
    if (isOthers) this.#otherPublished(status.device);
    return isOthers;
  }

  /** The retained status of a device was removed, by us or by somebody else. */
  removed(device: string): void {
    this.#owners.removed(device);
    this.#otherPublished(device);
  }

  /** What we published last is not what the topic has. */
  #otherPublished(device: string): void {
    this.#published.delete(device);
    if (this.#status.has(device)) this.changed(device);
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
    this.#removed.delete(device);
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
    if (this.#line.publish(gapTopic(device), JSON.stringify(gap))) return;
    this.#gaps = [...this.#gaps.slice(-(KEPT_MAX - 1)), { device, gap }];
  }

  /** Stops publishing a device and removes its retained status, unless that is another bridge's. */
  remove(device: string): void {
    this.#status.delete(device);
    this.#published.delete(device);
    this.#soon.delete(device);
    if (this.#owners.isOthers(device) || this.#line.publish(deviceStatusTopic(device), '', { retain: true })) return;
    this.#removed.add(device);
    const [oldest] = this.#removed;
    if (this.#removed.size > KEPT_MAX && oldest !== undefined) this.#removed.delete(oldest);
  }

  /** The broker is connected; it may have lost its retained messages. */
  up(): void {
    this.#owners.up();
    const gaps = this.#gaps;
    this.#gaps = [];
    for (const { device, gap } of gaps) this.gap(device, gap);
    const removed = [...this.#removed];
    this.#removed.clear();
    for (const device of removed) this.remove(device);
    this.#published.clear();
    this.#publishChanged(this.#status.keys());
  }

  #publishChanged(devices: Iterable<string>): void {
    for (const device of devices) {
      const status = this.#status.get(device);
      if (status === undefined) continue;
      const current = status();
      if (!this.#owners.mayPublish(device, current.state)) continue;
      const payload = JSON.stringify({ ...current, gateway: this.#gateway() });
      if (this.#published.get(device) === payload) continue;
      if (this.#line.publish(deviceStatusTopic(device), payload, { retain: true })) this.#published.set(device, payload);
    }
  }
}
