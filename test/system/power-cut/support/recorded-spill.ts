/** The outbox on disk under strace, and what must hold for it after a power failure. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { findEarlierRuns } from '../../../../outbox/earlier-runs.ts';
import { nodeDisk } from '../../../../outbox/spill-disk.ts';
import { decodeLines } from '../../../../outbox/spill-lines.ts';
import { TraceReader, straceArgs, type DiskEvent } from '../../../support/disk-trace.ts';
import { writeImage } from '../../../support/power-cut.ts';
import { seeded } from '../../../support/seeded.ts';
import { tempDir } from '../../../support/temp-dir.ts';

const writer = fileURLToPath(new URL('./spill-writer.ts', import.meta.url));

/** Records a process that spills `readings`, evicts the oldest, has some stored, and spills again until it is killed, which ends strace. */
export async function recordSpill(t: TestContext, readings: number): Promise<DiskEvent[]> {
  const folder = tempDir(t);
  const outbox = path.join(folder, 'outbox');
  mkdirSync(outbox);
  const log = path.join(tempDir(t), 'strace');
  const child = spawn('strace', [...straceArgs(log), process.execPath, '--import', 'tsx', writer, folder, String(readings)], {
    env: { ...process.env, UV_USE_IO_URING: '0' },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  await new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const reader = new TraceReader(outbox);
  reader.read(log);
  return reader.events;
}

interface Line {
  seq: number;
  payload: string;
  writtenAt: number;
  /** Index of the event after which it is certainly on the disk. */
  syncedAt: number;
  removedAt: number;
}

/** Every line of every spill file, and when it was written, synced and removed. */
function linesOf(events: readonly DiskEvent[]): Line[] {
  const paths = new Map<number, string>();
  const lines: (Line & { inode: number })[] = [];
  for (const [index, event] of events.entries()) {
    if (event.kind === 'create') paths.set(event.inode, event.path);
    if (event.kind === 'write' && paths.get(event.inode)?.endsWith('.spill') === true)
      for (const { seq, payload } of decodeLines(event.bytes.toString()))
        lines.push({
          seq,
          payload,
          inode: event.inode,
          writtenAt: index,
          syncedAt: Number.POSITIVE_INFINITY,
          removedAt: Number.POSITIVE_INFINITY,
        });
    for (const line of lines) {
      if (event.kind === 'synced' && line.inode === event.inode && line.writtenAt < event.since)
        line.syncedAt = Math.min(line.syncedAt, index);
      const isEvicted = event.kind === 'size' && event.inode === line.inode && event.size === 0;
      const isRemoved = event.kind === 'unlink' && paths.get(line.inode) === event.path;
      if (isEvicted || isRemoved) line.removedAt = Math.min(line.removedAt, index);
    }
  }
  return lines;
}

interface Found {
  readings: Map<number, string>;
  /** Seqs of the last write that was cut short. */
  cutShort: number;
  /** Seqs that count as damaged, and files that were set aside. */
  damage: string[];
}

async function foundIn(folder: string): Promise<Found> {
  const found = new Map<number, string>();
  const damage: string[] = [];
  let cutShort = 0;
  const onSetAside = (file: string): void => void damage.push(path.basename(file));
  for (const { files } of await findEarlierRuns({ disk: nodeDisk, folder, maxBytes: 65_536, gateway: 'test-box', onSetAside })) {
    let after = 0;
    for (let part = await files.read(after, 1000); part !== undefined; part = await files.read(after, 1000)) {
      for (const { seq, payload } of part.readings) {
        found.set(seq, payload);
        after = seq;
      }
      for (const { from, to, cause, isCutShort } of part.lost) {
        after = Math.max(after, to);
        if (isCutShort) cutShort += to - from + 1;
        else if (cause === 'damaged') damage.push(`${from} to ${to}`);
      }
    }
  }
  return { readings: found, cutShort, damage };
}

export interface SpillAccount {
  images: number;
  events: number;
  synced: number;
  removed: number;
  cutShort: number;
  seed: number;
}

export async function cutSpill(
  t: TestContext,
  events: DiskEvent[],
  { images, seed = randomInt(1_000_000) }: { images: number; seed?: number },
): Promise<SpillAccount> {
  const chance = seeded(seed);
  const lines = linesOf(events);
  const account = {
    images: 0,
    events: events.length,
    synced: lines.filter(({ syncedAt }) => syncedAt < events.length).length,
    removed: lines.filter(({ removedAt }) => removedAt < events.length).length,
    cutShort: 0,
    seed,
  };
  assert.ok(account.synced > 100 && account.removed > 0, `the recording has too little in it: ${JSON.stringify(account)}`);
  for (; account.images < images; account.images += 1) {
    const image = path.join(tempDir(t), 'outbox');
    const cut = Math.floor(chance() * (events.length + 1));
    writeImage(events, cut, image, chance);
    const { readings: found, cutShort, damage } = await foundIn(image);
    account.cutShort += cutShort;
    const where = `seed ${seed}, image ${account.images}, cut at event ${cut} of ${events.length}`;
    for (const { seq, payload, syncedAt, removedAt } of lines)
      if (syncedAt < cut && removedAt >= cut)
        assert.equal(found.get(seq), payload, `${seq} was synced and is not found: ${where}`);
    const written = new Map(lines.filter(({ writtenAt }) => writtenAt < cut).map(({ seq, payload }) => [seq, payload]));
    assert.deepEqual(damage, [], `a power cut is no damage: ${where}`);
    for (const [seq, payload] of found) assert.equal(payload, written.get(seq), `${seq} was never written: ${where}`);
    rmSync(image, { recursive: true, force: true });
  }
  return account;
}
