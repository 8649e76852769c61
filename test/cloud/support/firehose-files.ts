/** Objects as Firehose writes them: gzipped JSON Lines below a folder a day, from the shards side by side. */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import type { Stored } from './day-of-straps.ts';

const EVERY_MS = 300_000;
const SHARDS = 2;

export class FirehoseFiles {
  readonly folder: string;
  readonly #buffers: { lines: string[]; sinceMs: number }[] = Array.from({ length: SHARDS }, () => ({ lines: [], sinceMs: 0 }));
  #objects = 0;
  bytes = 0;
  accountBytes = 0;

  constructor(folder: string) {
    this.folder = folder;
  }

  add(records: readonly Stored[]): void {
    for (const { device, line, atMs } of records) {
      const buffer = this.#buffers[(device.codePointAt(device.length - 1) ?? 0) % SHARDS];
      if (buffer === undefined) continue;
      if (buffer.lines.length > 0 && atMs - buffer.sinceMs >= EVERY_MS) this.#flush(buffer);
      if (buffer.lines.length === 0) buffer.sinceMs = atMs;
      buffer.lines.push(line);
      this.bytes += line.length + 1;
      const account = line.indexOf(',"account":');
      if (account >= 0) this.accountBytes += line.length - 1 - account;
    }
  }

  #flush(buffer: { lines: string[]; sinceMs: number }): void {
    const day = new Date(buffer.sinceMs).toISOString().slice(0, 10);
    const folder = path.join(this.folder, `dt=${day}`);
    mkdirSync(folder, { recursive: true });
    this.#objects += 1;
    writeFileSync(path.join(folder, `hr-data-stream-to-s3-1-${this.#objects}.gz`), gzipSync(`${buffer.lines.join('\n')}\n`));
    buffer.lines = [];
  }

  end(): void {
    for (const buffer of this.#buffers) if (buffer.lines.length > 0) this.#flush(buffer);
  }
}
