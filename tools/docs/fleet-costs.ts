/**
 * Calculates what a fleet of boxes costs: the table in docs/fleet.md. The stream by tools/docs/costs.ts, and what watches the boxes. Prices
 * for US East (N. Virginia) in US dollars, before tax and free tiers; the sources are below the table.
 */
import { costsOf, PRICES } from './costs.ts';

export const WATCH_PRICES = {
  /** A custom metric per month, by tiers: up to so many metrics of an account. */
  metricTiers: [
    { upTo: 10_000, price: 0.3 },
    { upTo: 250_000, price: 0.1 },
    { upTo: Number.POSITIVE_INFINITY, price: 0.05 },
  ],
  /** A standard alarm per month. */
  alarm: 0.1,
  logsGb: 0.5,
  /** DynamoDB on demand. */
  millionWrites: 1.25,
  millionReads: 0.25,
  millionCalls: 0.2,
  /** Lambda on arm64. */
  gbSecond: 0.000_013_333_4,
} as const;

const GIB = 1024 ** 3;
const MINUTES_PER_MONTH = 730 * 60;
const SECONDS_PER_MINUTE = 60;
/** A line of the embedded metric format, with what CloudWatch adds to it. */
const METRIC_LINE_BYTES = 400;
const METRICS_PER_BOX = 2;
const LAST_SEEN_ITEM_BYTES = 64;
/** A unit of an eventually consistent read is 8 KB. */
const READ_UNIT_BYTES = 8192;
const WRITES_PER_SILENCE = 3;
const ALARMS = 8;
/** Of the template's consumer and watch: 256 MiB, and 0.2 s a call. */
const CALL_GB_SECONDS = 0.25 * 0.2;

export interface Fleet {
  boxes: number;
  strapsPerBox: number;
  /** 1, or about KINESIS_LINGER_MS / 1000 in aggregated mode. */
  readingsPerRecord: number;
  /** GatewayMetrics of the template. */
  metrics: boolean;
  /** GatewaySilenceMinutes of the template. */
  silenceMinutes: number;
  /** ConsumerBatchSize and ConsumerBatchWindowSeconds of the template. */
  batchSize: number;
  batchSeconds: number;
}

/** US dollars per month. */
export interface FleetCosts {
  readingsPerSecond: number;
  shards: number;
  /** Shard-hours and PUT units, account records included. */
  stream: number;
  /** The consumer's calls, without what your own function does. */
  consumer: number;
  /** Metrics of the boxes, and the log lines that carry them. */
  boxMetrics: number;
  /** Table, calls and alarms by which a silent box is noticed. */
  watch: number;
  perBox: number;
}

/** What so many metrics of one account cost per month. */
export function metricsPrice(count: number): number {
  let from = 0;
  let sum = 0;
  for (const { upTo, price } of WATCH_PRICES.metricTiers) {
    sum += Math.max(0, Math.min(count, upTo) - from) * price;
    from = upTo;
  }
  return sum;
}

const calls = (millions: number): number =>
  millions * WATCH_PRICES.millionCalls + millions * 1_000_000 * CALL_GB_SECONDS * WATCH_PRICES.gbSecond;

/** The cost of a month in which every strap is worn around the clock and sends one reading a second. */
export function fleetCostsOf(fleet: Fleet): FleetCosts {
  const { boxes, strapsPerBox, readingsPerRecord, silenceMinutes, batchSize, batchSeconds } = fleet;
  const straps = boxes * strapsPerBox;
  const { readingsPerSecond, shards, shardHours, puts } = costsOf({ straps, rate: 1, readingBytes: 250, readingsPerRecord });
  const heartbeats = (boxes * MINUTES_PER_MONTH) / 1_000_000;
  const recordsPerShard = readingsPerSecond / readingsPerRecord / shards;
  const callsPerSecond = shards * Math.max(recordsPerShard / batchSize, 1 / batchSeconds);
  // A box's straps are spread over the shards, and each instance of the consumer, one a shard, reports a box once a minute.
  const boxesPerShard = boxes * (1 - (1 - 1 / shards) ** strapsPerBox);
  const lines = shards * boxesPerShard * MINUTES_PER_MONTH;
  const boxMetrics = fleet.metrics
    ? metricsPrice(boxes * METRICS_PER_BOX) + ((lines * METRIC_LINE_BYTES) / GIB) * WATCH_PRICES.logsGb
    : 0;
  const writes = (boxes * MINUTES_PER_MONTH * WRITES_PER_SILENCE) / silenceMinutes / 1_000_000;
  const reads = (Math.max(1, Math.ceil((boxes * LAST_SEEN_ITEM_BYTES) / READ_UNIT_BYTES)) * MINUTES_PER_MONTH) / 1_000_000;
  const watch =
    writes * WATCH_PRICES.millionWrites +
    reads * WATCH_PRICES.millionReads +
    calls(MINUTES_PER_MONTH / 1_000_000) +
    METRICS_PER_BOX * WATCH_PRICES.metricTiers[0].price +
    ALARMS * WATCH_PRICES.alarm;
  const stream = shardHours + puts + heartbeats * PRICES.millionPutUnits;
  const consumer = calls((callsPerSecond * MINUTES_PER_MONTH * SECONDS_PER_MINUTE) / 1_000_000);
  return {
    readingsPerSecond,
    shards,
    stream,
    consumer,
    boxMetrics,
    watch,
    perBox: (stream + consumer + boxMetrics + watch) / boxes,
  };
}

/** As the table shows a fleet: the template's defaults, and 30 minutes of silence. */
export const TYPICAL = { strapsPerBox: 10, silenceMinutes: 30, batchSize: 500, batchSeconds: 5 } as const;

const COLUMNS = [
  'boxes',
  'mode',
  'readings/s',
  'shards',
  'stream $',
  'consumer $',
  'box metrics $',
  'watch $',
  '**a box $**',
  'without box metrics $',
];

/** The table in docs/fleet.md. */
export function fleetCostsTable(): string {
  const rows = [10, 1000, 10_000].flatMap((boxes) =>
    [1, 10].map((readingsPerRecord) => {
      const fleet = { ...TYPICAL, boxes, readingsPerRecord };
      const { readingsPerSecond, shards, stream, consumer, boxMetrics, watch, perBox } = fleetCostsOf({
        ...fleet,
        metrics: true,
      });
      const cells = [
        boxes.toLocaleString('en-US'),
        readingsPerRecord === 1 ? 'records' : 'aggregated, 10 s',
        readingsPerSecond.toLocaleString('en-US'),
        shards,
        stream.toFixed(2),
        consumer.toFixed(2),
        boxMetrics.toFixed(2),
        watch.toFixed(2),
        perBox.toFixed(2),
        fleetCostsOf({ ...fleet, metrics: false }).perBox.toFixed(2),
      ];
      return `| ${cells.join(' | ')} |`;
    }),
  );
  return [`| ${COLUMNS.join(' | ')} |`, `|${'---|'.repeat(COLUMNS.length)}`, ...rows].join('\n');
}
