/**
 * What the suite attacks: the files of one service, the work that makes it use them, and what is safe in them. Each target fills before a
 * case (`prepare`), names what is secured, works while it cannot pass readings on (`work`), and drains.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openDatabase } from '../../../../service/storage/sqlite.ts';
import { eventually } from '../../../support/eventually.ts';
import { spilledReadings } from '../../support/spilled-readings.ts';
import type { Part } from '../../support/product-box.ts';
import type { FaultBox } from './fault-box.ts';

export interface Target {
  name: string;
  /** Whose files fail. */
  part: Part;
  /** Which files in DATA_DIR. */
  pattern: string;
  prepare(box: FaultBox): Promise<void>;
  /** `<run> <seq>` of readings that must not be lost from now on. */
  secured(box: FaultBox): Promise<Set<string>>;
  drain(box: FaultBox): Promise<void>;
  /** Grows for as long as the target does its work, whatever becomes of the next hop. */
  progress?(box: FaultBox): number;
}

const SPILLED_MIN = 40;
const QUEUED_MIN = 60;
const WORK_MS = 1500;

/** Readings arrive, and the target cannot pass them on. */
export const work = async (): Promise<void> => await sleep(WORK_MS);

const outboxTarget = (name: string, part: Part, folder: string): Target => {
  const spilled = (box: FaultBox): Set<string> => spilledReadings(path.join(box.product.folder, folder));
  // Several boxes run the same target side by side.
  const secured = new WeakMap<FaultBox, Set<string>>();
  return {
    name,
    part,
    pattern: `${folder}*`,
    async prepare(box) {
      await box.product.stop('forwarder');
      // A file may be removed while it is read only if all of it is stored.
      let written = new Set<string>();
      await eventually(() => (written = spilled(box)).size >= SPILLED_MIN, { what: `${SPILLED_MIN} readings in ${folder}` });
      // What is written is spilled once it is synced, and only then more is written.
      await eventually(() => spilled(box).size > written.size, { what: `more readings in ${folder}` });
      secured.set(box, written);
    },
    async secured(box) {
      const written = secured.get(box);
      assert.ok(written !== undefined, 'prepare() has run');
      return written;
    },
    drain: async (box) => void box.product.launch('forwarder'),
  };
};

/** Grows with each record that the local stream stores, read by another process; -1 while its file cannot be read. */
function storedIn(file: string): number {
  try {
    const database = openDatabase(file, { readonly: true });
    try {
      return database.prepare('SELECT next_id FROM counter').pluck().get() as number;
    } finally {
      database.close();
    }
  } catch {
    return -1;
  }
}

export const TARGETS = {
  bridge: outboxTarget('bridge', 'ble-bridge', 'outbox'),
  adoption: outboxTarget('adoption', 'gateway', 'outbox-gateway'),
  queue: {
    name: 'queue',
    part: 'forwarder',
    pattern: 'queue*',
    async prepare(box) {
      await box.readStream();
      await box.product.streamFaults({ request: 'status503' });
      // Watermarks say what is in the queue; the status is some seconds late.
      const before = box.witness.storedTotal;
      await eventually(() => box.witness.storedTotal >= before + QUEUED_MIN, { what: `${QUEUED_MIN} readings in the queue` });
    },
    secured: async (box) => box.storedByWatermark(),
    drain: async (box) => await box.product.streamFaults({}),
    progress: (box) => box.witness.storedTotal,
  },
  stream: {
    name: 'stream',
    part: 'local-kinesis',
    pattern: 'local-kinesis.db*',
    async prepare(box) {
      const before = box.follower.readings.length;
      await eventually(async () => (await box.readStream()) >= before + QUEUED_MIN, {
        everyMs: 200,
        what: 'the stream fills',
      });
    },
    secured: async (box) => new Set(box.inStream),
    drain: async () => {},
    progress: (box) => storedIn(path.join(box.product.folder, 'local-kinesis.db')),
  },
} satisfies Record<string, Target>;

/** Files that a service sets aside because they are damaged. */
export function setAside(folder: string): string[] {
  const names = [folder, path.join(folder, 'outbox'), path.join(folder, 'outbox-gateway')]
    .filter((name) => existsSync(name))
    .flatMap((name) => readdirSync(name));
  return names.filter((name) => /damaged|aside|corrupt/.test(name));
}
