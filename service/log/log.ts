/**
 * Structured logging to stdout, one line per event. ERROR: a reading was lost or an operator must act. WARN: degraded, nothing lost.
 * Nothing per reading above debug; repeated events are rate-limited; credentials are never logged.
 */
import { fstatSync } from 'node:fs';
import { pino, stdSerializers, type DestinationStream, type Logger } from 'pino';
import { journalStream, type Config } from '../config/config.ts';
import { HrError } from '../errors/errors.ts';
import { maskLine } from '../secrets/mask-fields.ts';
import { standardOutput } from './log-output.ts';

export type { Logger } from 'pino';

/** Field names whose values are credentials, redacted at every depth that we log. */
const SECRET_NAMES = ['password', 'token', 'key', 'secret', 'secretAccessKey', 'sessionToken', 'authorization', 'cookie'];
const REDACTED = SECRET_NAMES.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]);

function serializeError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const base = stdSerializers.err(error);
  return error instanceof HrError
    ? { code: error.code, operation: error.operation, message: base.message, hint: error.hint, stack: base.stack }
    : base;
}

/** The logger of a service that runs as a separate process. */
export function createLogger(service: string, config: Pick<Config, 'LOG_LEVEL' | 'LOG_PRETTY'>): Logger {
  return createProcessLogger(config).child({ service });
}

/** The logger of a process, from which each service derives its own. Readable lines only on a terminal or with LOG_PRETTY. */
export function createProcessLogger(config: Pick<Config, 'LOG_LEVEL' | 'LOG_PRETTY'>): Logger {
  const pretty = config.LOG_PRETTY === undefined ? process.stdout.isTTY : config.LOG_PRETTY === 'true';
  const options = {
    level: config.LOG_LEVEL,
    base: null,
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { err: serializeError },
    redact: { paths: REDACTED, censor: '***' },
  };
  if (pretty) return pino(options, prettyDestination());
  return pino(options, stdoutIsJournal() ? journalDestination() : plainDestination());
}

/** Standard output with lines as they are, without credentials. */
function plainDestination(): DestinationStream {
  const out = standardOutput;
  const stream = {
    write(line: string): void {
      out.write(maskLine(line));
    },
    flush(done?: () => void): void {
      out.flush(done);
    },
    flushSync(): void {
      out.flushSync();
    },
  };
  return stream;
}

/** Standard output with readable lines. pino's own transport would block this thread while nobody reads the terminal (Ctrl-S). */
function prettyDestination(): DestinationStream {
  let format: ((line: string) => string) | undefined;
  const early: string[] = [];
  // Loaded only here: services whose log is JSON do without its memory.
  const ready = import('pino-pretty').then(({ prettyFactory }) => {
    format = prettyFactory({
      colorize: process.stdout.isTTY,
      ignore: 'pid,hostname',
      messageFormat: '[{service}] {msg}',
      hideObject: false,
    });
    for (const line of early) standardOutput.write(format(line));
  });
  const flushWhenReady = async (done?: () => void): Promise<void> => {
    await ready;
    standardOutput.flush(done);
  };
  const stream = {
    write(line: string): void {
      const masked = maskLine(line);
      if (format === undefined) early.push(masked);
      else standardOutput.write(format(masked));
    },
    flush(done?: () => void): void {
      void flushWhenReady(done);
    },
    flushSync(): void {
      standardOutput.flushSync();
    },
  };
  return stream;
}

/** Journal priorities (sd-daemon(3)) for pino's levels; fatal is critical. */
const PRIORITIES = [
  [60, 2],
  [50, 3],
  [40, 4],
  [30, 6],
] as const;

/** True if stdout is the journal itself. JOURNAL_STREAM alone proves nothing: it may be inherited. */
function stdoutIsJournal(): boolean {
  const named = journalStream();
  if (named === undefined) return false;
  try {
    const { dev, ino } = fstatSync(1, { bigint: true });
    return named === `${dev}:${ino}`;
  } catch {
    return false;
  }
}

/** Standard output with a priority prefix on each line, which the journal strips. */
function journalDestination(): DestinationStream {
  const out = standardOutput;
  const stream = {
    // With this symbol pino sets `lastLevel` before each line.
    [Symbol.for('pino.metadata')]: true,
    lastLevel: 30,
    write(line: string): void {
      const priority = PRIORITIES.find(([level]) => stream.lastLevel >= level)?.[1] ?? 7;
      out.write(`<${priority}>${maskLine(line)}`);
    },
    flush(done?: () => void): void {
      out.flush(done);
    },
    flushSync(): void {
      out.flushSync();
    },
  };
  return stream;
}

interface Repeat {
  since: number;
  suppressed: number;
}

/** Logs a repeated event once per interval; the next line states in `repeats` how many were suppressed. */
export class RepeatLimiter {
  readonly #log: Logger;
  readonly #intervalMs: number;
  readonly #now: () => number;
  readonly #repeats = new Map<string, Repeat>();
  static readonly #KEYS_MAX = 1000;

  constructor(log: Logger, options: { intervalMs?: number; now?: () => number } = {}) {
    this.#log = log;
    this.#intervalMs = options.intervalMs ?? 60_000;
    this.#now = options.now ?? (() => performance.now());
  }

  #suppressed(key: string): number | undefined {
    const now = this.#now();
    const repeat = this.#repeats.get(key);
    if (repeat !== undefined && now - repeat.since < this.#intervalMs) {
      repeat.suppressed += 1;
      return undefined;
    }
    this.#repeats.delete(key);
    if (this.#repeats.size >= RepeatLimiter.#KEYS_MAX) {
      const oldest = this.#repeats.keys().next().value;
      if (oldest !== undefined) this.#repeats.delete(oldest);
    }
    this.#repeats.set(key, { since: now, suppressed: 0 });
    return repeat?.suppressed ?? 0;
  }

  #write(level: 'info' | 'warn' | 'error', key: string, fields: object, message: string): void {
    const suppressed = this.#suppressed(key);
    if (suppressed === undefined) return;
    this.#log[level](suppressed === 0 ? fields : { ...fields, repeats: suppressed }, message);
  }

  info(key: string, fields: object, message: string): void {
    this.#write('info', key, fields, message);
  }
  warn(key: string, fields: object, message: string): void {
    this.#write('warn', key, fields, message);
  }
  error(key: string, fields: object, message: string): void {
    this.#write('error', key, fields, message);
  }
}
