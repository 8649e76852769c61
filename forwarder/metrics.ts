/** What is counted while shipping. */
import type { Metric } from '../../contract/service-status.ts';
import { Counter, Histogram } from '../../service/metrics/metrics.ts';
import type { QueuedReading } from '../queue/drain-queue.ts';

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600];

/** How the bridge's readings begin; those of other apps may begin in another way, and are left out. */
const TIMESTAMP = '{"timestamp":"';
const TIMESTAMP_CHARACTERS = '2026-11-22T19:00:00.123Z'.length;

export class DrainMetrics {
  readonly #fromStrap = new Histogram(
    'hr_gateway_strap_to_stream_seconds',
    "From the arrival of a notification at the bridge to the stream's answer",
    SECONDS,
  );
  readonly #latency = new Histogram(
    'hr_gateway_accepted_to_stream_seconds',
    "From acceptance in the queue to the stream's answer",
    SECONDS,
  );
  readonly #requests = new Histogram('hr_gateway_put_records_seconds', 'Time of PutRecords requests that were answered', SECONDS);
  readonly #records = new Counter('hr_gateway_records_sent_total', 'Records in answered requests, repeats included');
  readonly #failedRecords = new Counter(
    'hr_gateway_records_failed_total',
    'Records that failed inside an answered request, by code',
  );
  readonly #failedRequests = new Counter('hr_gateway_requests_failed_total', 'Requests that failed as a whole');
  requests = 0;
  requestsFailed = 0;
  recordsSent = 0;

  request(ms: number, records: number): void {
    this.requests += 1;
    this.#requests.observe(ms / 1000);
    this.#records.add(records);
    this.recordsSent += records;
  }
  recordFailed(code: string): void {
    this.#failedRecords.add(1, { code });
  }
  requestFailed(): void {
    this.requestsFailed += 1;
    this.#failedRequests.add();
  }
  shipped({ acceptedAtMs, data }: QueuedReading, nowMs: number): void {
    this.#latency.observe(Math.max(0, nowMs - acceptedAtMs) / 1000);
    if (!data.startsWith(TIMESTAMP)) return;
    const atMs = Date.parse(data.slice(TIMESTAMP.length, TIMESTAMP.length + TIMESTAMP_CHARACTERS));
    if (Number.isFinite(atMs)) this.#fromStrap.observe(Math.max(0, nowMs - atMs) / 1000);
  }
  read(): Metric[] {
    return [
      this.#fromStrap.read(),
      this.#latency.read(),
      this.#requests.read(),
      this.#records.read(),
      this.#failedRecords.read(),
      this.#failedRequests.read(),
    ];
  }
}
