/**
 * What a disk may hold if power fails at some point of a trace: everything that was synced; of the rest any subset of 512-byte sectors,
 * each in any state it was given since, and any file size; of the creations, renames and removals in a folder since its last sync, any
 * number of the first ones. Stricter than a journaling file system, which loses less.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { DiskEvent } from './disk-trace.ts';

const SECTOR = 512;

type Change = Extract<DiskEvent, { kind: 'write' | 'size' }>;
export type Chance = () => number;

const choice = <T>(chance: Chance, of: readonly T[]): T => of[Math.floor(chance() * of.length)] as T;

function applied(content: Buffer, change: Change): Buffer {
  if (change.kind === 'size') {
    const next = Buffer.alloc(change.size);
    content.copy(next);
    return next;
  }
  const end = change.offset + change.bytes.length;
  const next = end > content.length ? Buffer.concat([content, Buffer.alloc(end - content.length)]) : Buffer.from(content);
  change.bytes.copy(next, change.offset);
  return next;
}

/** One possible state of a file: each sector and the size as before or after any change that was not synced. */
function tornState(durable: Buffer, changes: readonly Change[], chance: Chance): Buffer {
  if (changes.length === 0) return durable;
  const states = [durable];
  for (const change of changes) states.push(applied(states.at(-1) ?? durable, change));
  const mode = chance();
  if (mode < 0.15) return durable;
  const last = states.at(-1) ?? durable;
  if (mode < 0.3) return last;
  // With many changes, any one of them is seldom on disk as a whole: some images hold each sector before or after all of them.
  if (mode < 0.6) states.splice(0, states.length, durable, last, last);
  const size = choice(chance, states).length;
  const torn = Buffer.alloc(size);
  for (let at = 0; at < size; at += SECTOR) {
    // What a file grew by may be zeros. What was durable is not: if the file keeps its size, the truncation did not happen.
    const state = choice(chance, at < durable.length ? states.filter(({ length }) => length > at) : states);
    if (at < state.length) state.copy(torn, at, at, Math.min(at + SECTOR, state.length, size));
  }
  return torn;
}

interface FolderChange {
  event: Extract<DiskEvent, { kind: 'create' | 'rename' | 'unlink' }>;
  index: number;
}

function entriesAfter(changes: readonly FolderChange[]): Map<string, number> {
  const entries = new Map<string, number>();
  for (const { event } of changes)
    if (event.kind === 'create') entries.set(event.path, event.inode);
    else if (event.kind === 'unlink') entries.delete(event.path);
    else {
      const inode = entries.get(event.from);
      entries.delete(event.from);
      if (inode !== undefined) entries.set(event.to, inode);
    }
  return entries;
}

/** Writes into `to` what a disk may hold if power fails before event number `cut`. */
export function writeImage(events: readonly DiskEvent[], cut: number, to: string, chance: Chance): void {
  const happened = events.slice(0, cut);
  const syncedBefore = new Map<number, number>();
  let folderSyncedBefore = 0;
  for (const event of happened)
    if (event.kind === 'synced') syncedBefore.set(event.inode, Math.max(event.since, syncedBefore.get(event.inode) ?? 0));
    else if (event.kind === 'folderSynced') folderSyncedBefore = Math.max(folderSyncedBefore, event.since);
  const folder: FolderChange[] = happened.flatMap((event, index) =>
    event.kind === 'create' || event.kind === 'rename' || event.kind === 'unlink' ? [{ event, index }] : [],
  );
  const surely = folder.filter(({ index }) => index < folderSyncedBefore).length;
  const kept = surely + Math.floor(chance() * (folder.length - surely + 1));
  mkdirSync(to, { recursive: true });
  for (const [name, inode] of entriesAfter(folder.slice(0, kept))) {
    const durable = new DurableContent();
    const pending: Change[] = [];
    for (const [index, event] of happened.entries()) {
      if ((event.kind !== 'write' && event.kind !== 'size') || event.inode !== inode) continue;
      if (index < (syncedBefore.get(inode) ?? 0)) durable.apply(event);
      else pending.push(event);
    }
    writeFileSync(path.join(to, path.basename(name)), tornState(durable.bytes, pending, chance));
  }
}

/** The part of a file that is certainly on the disk. It grows without a copy per write. */
class DurableContent {
  #buffer = Buffer.alloc(64 * 1024);
  #size = 0;

  apply(change: Change): void {
    const end = change.kind === 'size' ? change.size : change.offset + change.bytes.length;
    if (end > this.#buffer.length) this.#buffer = Buffer.concat([this.#buffer, Buffer.alloc(2 * end - this.#buffer.length)]);
    if (change.kind === 'size') {
      if (end < this.#size) this.#buffer.fill(0, end, this.#size);
      this.#size = end;
    } else {
      change.bytes.copy(this.#buffer, change.offset);
      this.#size = Math.max(this.#size, end);
    }
  }

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#size);
  }
}
