/** What chaos does, by seed: kills, pauses, broken links, a full disk, failing file operations, and a stream that answers wrongly. */
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { REQUEST_FAULTS } from '../../../../contract/fault-settings.ts';
import { systemCodeOf } from '../../../../service/errors/errors.ts';
import { FILE_CALLS } from '../../../support/disk-faults/disk-faults.ts';
import type { SmallDisk } from '../../../support/small-disk.ts';
import type { LinkState, Side } from '../../../support/tcp-link.ts';
import { spilledReadings } from '../../support/spilled-readings.ts';
import { PARTS, type Part } from '../../support/product-box.ts';
import { LINKS, type ChaosBox } from './chaos-box.ts';

export interface Kill {
  part: Part;
  atMs: number;
}

interface Span {
  fromMs: number;
  toMs: number;
}

/** What happened, for the laws and for the report. */
export interface Diary {
  counts: Record<string, number>;
  kills: Kill[];
  /** When a disk was full or failed: nothing could be spilled. */
  diskTrouble: Span[];
  /** `<run> <seq>` of what was in the files of an outbox when its process was killed. */
  spilled: Set<string>;
  log: string[];
}

const POISON = new Set<string>(['rejectPoison']);
const STREAM_FAULTS = REQUEST_FAULTS.filter((fault) => !POISON.has(fault));
const LINK_STATES: readonly LinkState[] = ['cut', 'stalled', 'delayed'];
const SIDES: readonly Side[] = ['client', 'server'];
/** Disturbances at the same time. */
const AT_ONCE = 3;

/** The product writes meanwhile: the last block may be taken already. */
function fill(disk: SmallDisk): void {
  try {
    disk.fillTo(0);
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOSPC') throw error;
  }
}

export class Disturbances {
  readonly diary: Diary = { counts: {}, kills: [], diskTrouble: [], spilled: new Set(), log: [] };
  readonly #box: ChaosBox;
  readonly #random: () => number;
  readonly #startedAt = performance.now();
  /** What is disturbed now: one disturbance at a time for each. */
  readonly #busy = new Set<string>();

  constructor(box: ChaosBox, random: () => number) {
    this.#box = box;
    this.#random = random;
  }

  /** Disturbs for this long, then lifts everything and starts what is not running. */
  async run(lastsMs: number): Promise<void> {
    const end = performance.now() + lastsMs;
    await Promise.all(
      Array.from({ length: AT_ONCE }, async () => {
        while (performance.now() < end) {
          await this.#disturb();
          await sleep(this.#between(50, 1500));
        }
      }),
    );
    await this.#lift();
  }

  #between(low: number, high: number): number {
    return low + this.#random() * (high - low);
  }

  #oneOf<T>(list: readonly T[]): T {
    const chosen = list[Math.floor(this.#random() * list.length)];
    if (chosen === undefined) throw new Error('nothing to choose from');
    return chosen;
  }

  async #disturb(): Promise<void> {
    const kinds = [
      () => this.#kill(),
      () => this.#pause(),
      () => this.#breakLink(),
      () => this.#breakLink(),
      () => this.#halfClose(),
      () => this.#fillDisk(),
      () => this.#failFiles(),
      () => this.#failStream(),
    ];
    await this.#oneOf(kinds)();
  }

  /** Does the work unless this thing is disturbed already. */
  async #alone(thing: string, kind: string, work: () => Promise<void>): Promise<void> {
    if (this.#busy.has(thing)) return;
    this.#busy.add(thing);
    this.diary.counts[kind] = (this.diary.counts[kind] ?? 0) + 1;
    this.diary.log.push(`${((performance.now() - this.#startedAt) / 1000).toFixed(1)} s ${kind} ${thing}`);
    try {
      await work();
    } finally {
      this.#busy.delete(thing);
    }
  }

  async #kill(): Promise<void> {
    const part = this.#oneOf(PARTS);
    await this.#alone(part, 'kill', async () => {
      await this.#box.product.stop(part, 'SIGKILL');
      this.diary.kills.push({ part, atMs: Date.now() });
      for (const folder of part === 'ble-bridge' ? ['outbox'] : ['outbox-gateway'])
        if (part === 'ble-bridge' || part === 'gateway')
          for (const key of spilledReadings(path.join(this.#box.product.folder, folder))) this.diary.spilled.add(key);
      await sleep(this.#between(0, 1500));
      this.#box.product.launch(part);
    });
  }

  async #pause(): Promise<void> {
    const part = this.#oneOf(PARTS);
    await this.#alone(part, 'pause', async () => {
      const product = this.#box.product.running(part);
      product?.child.kill('SIGSTOP');
      await sleep(this.#between(200, 4000));
      product?.child.kill('SIGCONT');
    });
  }

  async #breakLink(): Promise<void> {
    const name = this.#oneOf(LINKS);
    const state = this.#oneOf(LINK_STATES);
    await this.#alone(name, state, async () => {
      const link = this.#box.links.get(name);
      link?.set(state);
      await sleep(this.#between(100, 5000));
      link?.set('open');
    });
  }

  async #halfClose(): Promise<void> {
    const name = this.#oneOf(LINKS);
    const side = this.#oneOf(SIDES);
    await this.#alone(name, 'half-close', async () => {
      this.#box.links.get(name)?.halfClose(side);
      await sleep(this.#between(100, 1000));
    });
  }

  async #withDiskTrouble(work: () => Promise<void>): Promise<void> {
    const span = { fromMs: Date.now(), toMs: Number.POSITIVE_INFINITY };
    this.diary.diskTrouble.push(span);
    await work();
    span.toMs = Date.now();
  }

  async #fillDisk(): Promise<void> {
    const { disk, faults, product } = this.#box;
    await this.#alone('disk', 'full disk', async () => {
      await this.#withDiskTrouble(async () => {
        if (disk !== undefined) fill(disk);
        else
          for (const each of faults.values())
            each.begin({ pattern: `${product.folder}/*`, calls: ['open', 'write', 'mkdir'], kind: 'ENOSPC' });
        await sleep(this.#between(500, 6000));
        disk?.clear();
        if (disk === undefined) for (const each of faults.values()) each.end();
      });
    });
  }

  async #failFiles(): Promise<void> {
    const part = this.#oneOf(PARTS);
    const call = this.#oneOf(FILE_CALLS);
    // Without a small disk, both are done by the preloaded library.
    const thing = this.#box.disk === undefined ? 'disk' : `disk of ${part}`;
    await this.#alone(thing, 'EIO', async () => {
      await this.#withDiskTrouble(async () => {
        const faults = this.#box.faults.get(part);
        faults?.begin({ pattern: `${this.#box.product.folder}/*`, calls: [call], kind: 'EIO' });
        await sleep(this.#between(200, 5000));
        faults?.end();
      });
    });
  }

  async #failStream(): Promise<void> {
    const settings = this.#oneOf([
      () => ({ request: this.#oneOf(STREAM_FAULTS), requestRate: this.#between(0.2, 1) }),
      () => ({ throttleRate: this.#between(0.1, 1) }),
      () => ({ recordFailureRate: this.#between(0.1, 1) }),
      () => ({ latencyMs: Math.round(this.#between(100, 2000)) }),
      () => ({ refuseConnectionsMs: Math.round(this.#between(100, 3000)) }),
    ])();
    const seed = Math.floor(this.#between(1, 1e9));
    await this.#alone('stream', `stream ${Object.keys(settings)[0]}`, async () => {
      // The stream itself may be away.
      await this.#box.product.streamFaults({ ...settings, seed }, 500).catch(() => undefined);
      await sleep(this.#between(300, 5000));
      await this.#box.product.streamFaults({}, 500).catch(() => undefined);
    });
  }

  async #lift(): Promise<void> {
    const { links, faults, disk, product } = this.#box;
    for (const link of links.values()) link.set('open');
    for (const each of faults.values()) each.end();
    disk?.clear();
    for (const part of PARTS) product.running(part)?.child.kill('SIGCONT');
    await product.streamFaults({}, 60_000);
  }
}
