/**
 * Where log lines go: a file descriptor, written without ever blocking this thread. A write that fails (full disk, closed pipe) or never
 * ends (a pipe that nobody reads) must not stop the product: lines that cannot be written are counted, and health reports them. Once
 * writing works again, one line says how many were lost.
 */
import { write } from 'node:fs';

/** Lines that wait for a slow reader, in characters. */
const WAITING_MAX = 1024 * 1024;
const CHUNK_MAX = 64 * 1024;
const RETRY_MS = 1000;
/** A write that takes longer is stalled. */
const STALLED_MS = 10_000;
/** Lost lines are reported in health for this long after writing works again. */
const REPORTED_MS = 10 * 60_000;

/** Why lines are lost, and how many were since the process started. */
export interface LogTrouble {
  reason: string;
  lostLines: number;
  /** Lines are being lost now. */
  failing: boolean;
}

/** Bytes of a write, the lines in them, and how many lost lines they report. */
interface Chunk {
  bytes: Buffer;
  lines: number;
  reported: number;
}

export class LogOutput {
  readonly #fd: number;
  #waiting: string[] = [];
  #waitingSize = 0;
  /** When the write in flight began. */
  #writingSinceMs: number | undefined;
  #retry: NodeJS.Timeout | undefined;
  #failure: string | undefined;
  #lostLines = 0;
  #unreported = 0;
  #lostAtMs = Number.NEGATIVE_INFINITY;
  #lostReason = '';
  #isTorn = false;
  #flushing: (() => void)[] = [];

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** A write has been started and has not ended: `process.exit` would wait for it. */
  get isWriting(): boolean {
    return this.#writingSinceMs !== undefined;
  }

  /** Lines lost since the process started. */
  get lostLines(): number {
    return this.#lostLines;
  }

  /** What is wrong, or was in the last 10 minutes; undefined if nothing. */
  get trouble(): LogTrouble | undefined {
    const now = performance.now();
    const isStalled = this.#writingSinceMs !== undefined && now - this.#writingSinceMs > STALLED_MS;
    const failing = isStalled || this.#failure !== undefined;
    if (!failing && now - this.#lostAtMs > REPORTED_MS) return undefined;
    const reason = this.#failure ?? (isStalled ? 'nobody reads standard output' : this.#lostReason);
    return { reason, lostLines: this.#lostLines, failing };
  }

  write(line: string): void {
    if (this.#waitingSize + line.length > WAITING_MAX) return this.#lost(1, this.#failure ?? 'nobody reads standard output');
    this.#waiting.push(line);
    this.#waitingSize += line.length;
    this.#writeNext();
  }

  /** Calls `done` once everything is written, or cannot be written now. */
  flush(done: () => void = () => {}): void {
    if (this.#failure !== undefined || (this.#waiting.length === 0 && !this.isWriting)) return void setImmediate(done);
    this.#flushing.push(done);
  }

  /** pino calls it after a fatal line. Waiting here could last for ever; `flush` is called before the process ends. */
  flushSync(): void {}

  #lost(lines: number, reason: string): void {
    this.#lostLines += lines;
    this.#unreported += lines;
    this.#lostAtMs = performance.now();
    this.#lostReason = reason;
  }

  #writeNext(): void {
    if (this.isWriting || this.#retry !== undefined) return;
    const reported = this.#unreported;
    if (this.#waiting.length === 0 && reported === 0) return this.#flushed();
    const lines: string[] = [];
    let size = 0;
    while (size < CHUNK_MAX) {
      const line = this.#waiting.shift();
      if (line === undefined) break;
      lines.push(line);
      size += line.length;
    }
    this.#waitingSize -= size;
    this.#writingSinceMs = performance.now();
    const text = [this.#isTorn ? '\n' : '', reported > 0 ? this.#lostLine(reported) : '', ...lines].join('');
    this.#writeRest({ bytes: Buffer.from(text), lines: lines.length, reported });
  }

  #lostLine(count: number): string {
    const fields = { level: 'warn', time: new Date().toISOString(), event: 'log_lines_lost', count, reason: this.#lostReason };
    return `${JSON.stringify({ ...fields, msg: 'log lines could not be written' })}\n`;
  }

  #writeRest(chunk: Chunk): void {
    const { bytes, lines, reported } = chunk;
    write(this.#fd, bytes, 0, bytes.length, null, (error, written) => {
      if (error?.code === 'EAGAIN') return void setTimeout(() => this.#writeRest(chunk), 50).unref();
      if (error !== null) return this.#failed(error.code ?? error.message, lines);
      // The rest of a write that a full disk cut short fails next.
      this.#isTorn = written < bytes.length;
      if (this.#isTorn) return this.#writeRest({ ...chunk, bytes: bytes.subarray(written) });
      this.#writingSinceMs = undefined;
      this.#failure = undefined;
      this.#unreported -= reported;
      this.#writeNext();
    });
  }

  #failed(reason: string, lines: number): void {
    this.#writingSinceMs = undefined;
    this.#failure = reason;
    this.#lost(lines, reason);
    this.#flushed();
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      this.#writeNext();
    }, RETRY_MS).unref();
  }

  #flushed(): void {
    const flushing = this.#flushing;
    this.#flushing = [];
    for (const done of flushing) done();
  }
}

/** Standard output of this process. */
export const standardOutput = new LogOutput(1);
