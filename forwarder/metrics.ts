/** All metrics of the forwarder, in the order in which they are published. */
import { REFUSED_KEYS_SHOWN, type UplinkState } from '../contract/forwarder-status.ts';
import type { Metric } from '../contract/metrics.ts';
import { Counter, Gauge, Histogram } from '../service/metrics/metrics.ts';
import type { QueuedReading } from './queue/drain-queue.ts';
import type { QueueState } from './queue/queue-messages.ts';
import type { WireBytes } from './sink/sink.ts';

const COMMIT_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5];
const SHIP_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600];

/** The beginning of the bridge's readings. Those of other apps may begin differently, and have no strap-to-stream time. */
const TIMESTAMP = '{"timestamp":"';
const TIMESTAMP_CHARACTERS = '2026-11-22T19:00:00.123Z'.length;

/** What is counted elsewhere, at the moment of reading. */
export interface QueueFigures {
  state: QueueState;
  oldestAgeSeconds: number;
  duplicates: number;
  uplink: UplinkState;
}

/** Made for each reading: a cause that the queue no longer counts must not keep its last value. */
function byCause(name: string, help: string, counts: Readonly<Record<string, number>>): Metric {
  const counter = new Counter(name, help);
  for (const [cause, count] of Object.entries(counts)) counter.setTo(count, { cause });
  return counter.read();
}

/** What the drain knows of a partition key that the stream refuses. */
interface RefusedKeyAge {
  key: string;
  code: string;
  /** Of its first failure, by the monotonic clock. */
  sinceMs: number;
}

/** Made for each reading: a key that is no longer refused must not keep its last value. */
function refusedSeconds(keys: readonly RefusedKeyAge[]): Metric {
  const gauge = new Gauge(
    'hr_gateway_partition_key_refused_seconds',
    'How long the stream refuses all records of this partition key',
  );
  const now = performance.now();
  for (const { key, code, sinceMs } of keys) gauge.set(Math.round((now - sinceMs) / 1000), { key, code });
  return gauge.read();
}

export class ForwarderMetrics {
  readonly #accepted = new Counter('hr_gateway_readings_accepted_total', 'Readings accepted');
  readonly #shipped = new Counter('hr_gateway_readings_shipped_total', 'Readings shipped');
  readonly #duplicates = new Counter('hr_gateway_readings_duplicate_total', 'Readings received again and not stored');
  readonly #commits = new Counter('hr_gateway_commits_total', 'Commits of the queue since the start');
  readonly #depth = new Gauge('hr_gateway_queue_depth', 'Readings in the queue');
  readonly #oldestAge = new Gauge('hr_gateway_queue_oldest_age_seconds', 'Age of the oldest reading in the queue');
  readonly #uplinkUp = new Gauge('hr_gateway_uplink_up', '1 if the stream takes readings');
  readonly #bytes = new Gauge('hr_gateway_queue_bytes', 'Bytes that the queue uses on disk');
  readonly #lostCommits = new Gauge(
    'hr_gateway_queue_lost_commits',
    'At most so many commits were lost with damaged files; -1: any number',
  );
  readonly #pinned = new Gauge('hr_gateway_queue_log_pinned', '1 while another process keeps the log from being written back');
  readonly #dead = new Gauge('hr_gateway_dead_letters', 'Dead letters');
  readonly #commitSeconds = new Histogram('hr_gateway_commit_seconds', 'Time of commits of the queue', COMMIT_SECONDS);
  readonly #strapToStream = new Histogram(
    'hr_gateway_strap_to_stream_seconds',
    "From the arrival of a notification at the bridge to the stream's answer",
    SHIP_SECONDS,
  );
  readonly #acceptedToStream = new Histogram(
    'hr_gateway_accepted_to_stream_seconds',
    "From acceptance in the queue to the stream's answer",
    SHIP_SECONDS,
  );
  readonly #requestSeconds = new Histogram(
    'hr_gateway_put_records_seconds',
    'Time of PutRecords requests that were answered',
    SHIP_SECONDS,
  );
  readonly #recordsSent = new Counter('hr_gateway_records_sent_total', 'Records in answered requests, repeats included');
  readonly #recordsFailed = new Counter(
    'hr_gateway_records_failed_total',
    'Records that failed inside an answered request, by code',
  );
  readonly #requestsFailed = new Counter('hr_gateway_requests_failed_total', 'Requests that failed as a whole');
  readonly #wireBytes = new Counter('hr_gateway_uplink_bytes_total', 'Bytes exchanged with the stream, as measured on the wire');
  readonly #wireLimit = new Gauge('hr_gateway_uplink_max_bytes_per_second', 'UPLINK_MAX_BYTES_PER_SECOND; 0: no limit');
  /** What went over the wire; the drain sets it. */
  wireBytes: () => WireBytes = () => ({ sent: 0, received: 0 });
  /** UPLINK_MAX_BYTES_PER_SECOND; the drain sets it. */
  wireLimit = 0;
  /** Partition keys that the stream refuses, at most this many; the drain sets it. */
  refusedKeys: (limit: number) => readonly RefusedKeyAge[] = () => [];
  /** Totals since the start. */
  requests = 0;
  requestsFailed = 0;
  recordsSent = 0;

  commit(ms: number): void {
    this.#commitSeconds.observe(ms / 1000);
  }

  requestAnswered(ms: number, records: number): void {
    this.requests += 1;
    this.recordsSent += records;
    this.#requestSeconds.observe(ms / 1000);
    this.#recordsSent.add(records);
  }

  requestFailed(): void {
    this.requestsFailed += 1;
    this.#requestsFailed.add();
  }

  recordFailed(code: string): void {
    this.#recordsFailed.add(1, { code });
  }

  readingShipped({ acceptedAtMs, data }: QueuedReading, nowMs: number): void {
    this.#acceptedToStream.observe(Math.max(0, nowMs - acceptedAtMs) / 1000);
    if (!data.startsWith(TIMESTAMP)) return;
    const atMs = Date.parse(data.slice(TIMESTAMP.length, TIMESTAMP.length + TIMESTAMP_CHARACTERS));
    if (Number.isFinite(atMs)) this.#strapToStream.observe(Math.max(0, nowMs - atMs) / 1000);
  }

  /** `figures`: undefined while the queue is not open: counters that fall to zero and return would look like a flood of readings. */
  read(figures: QueueFigures | undefined): Metric[] {
    return [...(figures === undefined ? [] : this.#readQueue(figures)), ...this.#readDrain()];
  }

  #readQueue({ state, oldestAgeSeconds, duplicates, uplink }: QueueFigures): Metric[] {
    const { ledger, causes, bytes, commits } = state;
    this.#accepted.setTo(ledger.accepted);
    this.#shipped.setTo(ledger.shipped);
    this.#duplicates.setTo(duplicates);
    this.#commits.setTo(commits);
    this.#depth.set(ledger.queued);
    this.#oldestAge.set(oldestAgeSeconds);
    this.#uplinkUp.set(uplink === 'ok' || uplink === 'throttled' || uplink === 'key_refused' ? 1 : 0);
    this.#bytes.set(bytes);
    this.#dead.set(ledger.dead);
    this.#lostCommits.set(state.commitsLost ?? -1);
    this.#pinned.set(state.pinned === null ? 0 : 1);
    return [
      this.#accepted.read(),
      this.#shipped.read(),
      this.#duplicates.read(),
      this.#commits.read(),
      byCause('hr_gateway_readings_evicted_total', 'Readings evicted after acceptance, by cause', causes.evicted),
      byCause('hr_gateway_readings_missed_total', 'Readings lost before acceptance, by cause', causes.missed),
      this.#depth.read(),
      this.#oldestAge.read(),
      this.#uplinkUp.read(),
      this.#bytes.read(),
      this.#lostCommits.read(),
      this.#pinned.read(),
      this.#dead.read(),
      this.#commitSeconds.read(),
    ];
  }

  #readDrain(): Metric[] {
    const { sent, received } = this.wireBytes();
    this.#wireBytes.setTo(sent, { direction: 'sent' });
    this.#wireBytes.setTo(received, { direction: 'received' });
    this.#wireLimit.set(this.wireLimit);
    return [
      this.#strapToStream.read(),
      this.#acceptedToStream.read(),
      this.#requestSeconds.read(),
      this.#recordsSent.read(),
      this.#recordsFailed.read(),
      this.#requestsFailed.read(),
      this.#wireBytes.read(),
      this.#wireLimit.read(),
      refusedSeconds(this.refusedKeys(REFUSED_KEYS_SHOWN)),
    ];
  }
}
