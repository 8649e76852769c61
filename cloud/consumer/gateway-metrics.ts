/**
 * Last-seen and readings of each gateway as CloudWatch metrics, in the embedded metric format: lines of the function's log from which
 * CloudWatch makes metrics, without a call to its API. (CloudWatch User Guide, "Specification: Embedded metric format".) A gateway that
 * only sends its account records is seen, with 0 readings.
 */

export const NAMESPACE = 'HrGateway';

/** What a batch held of a gateway. */
export interface Seen {
  readings: number;
  /** When the stream stored the newest of its records, in milliseconds since 1970. */
  lastSeenMs: number;
  /** The same for its account records; undefined without one. */
  heartbeatMs: number | undefined;
}

const MS_PER_S = 1000;
/** An instance of the function reports a gateway at most this often: a line for each call would cost more than the stream. */
const REPORT_EVERY_MS = 60_000;
/** CloudWatch's limit of a dimension's value. */
const VALUE_MAX_LENGTH = 1024;

/** What a batch held, by gateway. Records without a gateway, those of the script that this product replaces, are of none. */
export class SeenGateways {
  readonly #seen = new Map<string, Seen>();

  /** A record of this gateway, which holds a reading or an account. */
  add(gateway: string, { isReading, arrivedAt }: { isReading: boolean; arrivedAt: Date }): void {
    const before = this.#seen.get(gateway);
    const atMs = arrivedAt.getTime();
    this.#seen.set(gateway, {
      readings: (before?.readings ?? 0) + (isReading ? 1 : 0),
      lastSeenMs: Math.max(before?.lastSeenMs ?? 0, atMs),
      heartbeatMs: isReading ? before?.heartbeatMs : Math.max(before?.heartbeatMs ?? 0, atMs),
    });
  }

  entries(): [gateway: string, seen: Seen][] {
    return [...this.#seen];
  }
}

/** A log line from which CloudWatch makes metrics: for each list of dimensions a value of each metric. */
export function metricLine(
  dimensions: Readonly<Record<string, string>>,
  dimensionSets: readonly (readonly string[])[],
  metrics: readonly { name: string; unit: 'Count' | 'Seconds'; value: number }[],
  nowMs: number,
): string {
  return JSON.stringify({
    _aws: {
      Timestamp: nowMs,
      CloudWatchMetrics: [
        {
          Namespace: NAMESPACE,
          Dimensions: dimensionSets,
          Metrics: metrics.map(({ name, unit }) => ({ Name: name, Unit: unit })),
        },
      ],
    },
    ...Object.fromEntries(Object.entries(dimensions).map(([name, value]) => [name, value.slice(0, VALUE_MAX_LENGTH)])),
    ...Object.fromEntries(metrics.map(({ name, value }) => [name, value])),
  });
}

/** Prints a line as it is. Lambda's `console.log` would put other text before it, or a JSON object around it. */
export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

interface Pending {
  readings: number;
  lastSeenMs: number;
  reportedMs: number;
}

/**
 * Collects what an instance of the function sees, and reports each gateway once a minute. What an instance that ends still holds is lost.
 */
export class GatewayReports {
  readonly #stream: string;
  readonly #pending = new Map<string, Pending>();

  constructor(stream: string) {
    this.#stream = stream;
  }

  /**
   * The lines that are due after a batch: one a gateway, which counts for the gateway and for the stream as a whole. `LastSeen` is in
   * seconds since 1970.
   */
  after(seen: SeenGateways, nowMs: number): string[] {
    for (const [gateway, { readings, lastSeenMs }] of seen.entries()) {
      const before = this.#pending.get(gateway);
      this.#pending.set(gateway, {
        readings: (before?.readings ?? 0) + readings,
        lastSeenMs: Math.max(before?.lastSeenMs ?? 0, lastSeenMs),
        reportedMs: before?.reportedMs ?? 0,
      });
    }
    const lines: string[] = [];
    for (const [gateway, pending] of this.#pending) {
      if (pending.lastSeenMs === 0 || nowMs - pending.reportedMs < REPORT_EVERY_MS) continue;
      lines.push(this.#line(gateway, pending, nowMs));
      this.#pending.set(gateway, { readings: 0, lastSeenMs: 0, reportedMs: nowMs });
    }
    return lines;
  }

  #line(gateway: string, { readings, lastSeenMs }: Pending, nowMs: number): string {
    return metricLine(
      { StreamName: this.#stream, Gateway: gateway },
      [['StreamName', 'Gateway'], ['StreamName']],
      [
        { name: 'Readings', unit: 'Count', value: readings },
        { name: 'LastSeen', unit: 'Seconds', value: Math.floor(lastSeenMs / MS_PER_S) },
      ],
      nowMs,
    );
  }
}
