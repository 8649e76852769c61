/**
 * Calculates what the stream costs: the table in docs/consumers.md. Prices for US East (N. Virginia) in US dollars, before tax and free
 * tiers; the sources and their dates are below the table. For other prices, edit PRICES and run `npm run docs`.
 */

export const PRICES = {
  shardHour: 0.015,
  /** Per million units of up to 25 KB; a record has at least one unit. */
  millionPutUnits: 0.014,
  /** Retention beyond 24 hours and up to 7 days, provisioned. */
  extendedShardHour: 0.02,
  /** Firehose, for the first 500 TB of a month; each record is rounded up to a multiple of 5 KB. */
  firehoseGb: 0.029,
  onDemandStreamHour: 0.04,
  /** Each record is rounded up to a multiple of 1 KB. */
  onDemandGbIn: 0.08,
  onDemandGbOut: 0.04,
} as const;

const KIB = 1024;
const GIB = 1024 ** 3;
const HOURS_PER_MONTH = 730;
/** Share of a shard's 1,000 records and 1 MB per second to plan for: keys spread unevenly, and backlogs need room. */
const SHARD_SHARE = 0.8;

export interface Load {
  straps: number;
  /** Readings per second of one strap. */
  rate: number;
  /** Size of a reading's JSON with its newline. */
  readingBytes: number;
  /** Readings per record: 1, or about rate × KINESIS_LINGER_MS / 1000 in aggregated mode. */
  readingsPerRecord: number;
  hours?: number;
}

export interface Costs {
  readingsPerSecond: number;
  shards: number;
  /** Millions per month. */
  putUnits: number;
  firehoseGb: number;
  /** US dollars per month. */
  shardHours: number;
  puts: number;
  firehose: number;
  sevenDays: number;
  /** US dollars per month for an on-demand stream instead, by the number of consumers: hours, GB in, GB out. */
  onDemand: (consumers: number) => number;
}

/** The cost of a month with a constant load. */
export function costsOf({ straps, rate, readingBytes, readingsPerRecord, hours = HOURS_PER_MONTH }: Load): Costs {
  const readingsPerSecond = straps * rate;
  const recordBytes = readingBytes * readingsPerRecord;
  const recordsPerSecond = readingsPerSecond / readingsPerRecord;
  const seconds = hours * 3600;
  const shards = Math.max(
    1,
    Math.ceil(Math.max(recordsPerSecond / (1000 * SHARD_SHARE), (readingsPerSecond * readingBytes) / (1_000_000 * SHARD_SHARE))),
  );
  const putUnits = (recordsPerSecond * seconds * Math.ceil(recordBytes / (25 * KIB))) / 1_000_000;
  // Firehose de-aggregates before it writes, so it is counted per reading: the upper bound.
  const firehoseGb = (readingsPerSecond * seconds * Math.ceil(readingBytes / (5 * KIB)) * 5 * KIB) / GIB;
  const gbIn = (recordsPerSecond * seconds * Math.ceil(recordBytes / KIB) * KIB) / GIB;
  const gbOut = (readingsPerSecond * seconds * readingBytes) / GIB;
  return {
    readingsPerSecond,
    shards,
    putUnits,
    firehoseGb,
    shardHours: shards * hours * PRICES.shardHour,
    puts: putUnits * PRICES.millionPutUnits,
    firehose: firehoseGb * PRICES.firehoseGb,
    sevenDays: shards * hours * PRICES.extendedShardHour,
    onDemand: (consumers) =>
      hours * PRICES.onDemandStreamHour + gbIn * PRICES.onDemandGbIn + gbOut * consumers * PRICES.onDemandGbOut,
  };
}

const READING_BYTES = 250;
const LINGER_S = 10;
const COLUMNS = [
  'straps',
  'mode',
  'shards',
  'shard-hours $',
  'M PUT units',
  'PUT $',
  'Firehose GB',
  'Firehose $',
  '**sum $**',
  '7 days kept $',
  'stream on demand $',
];

/** The table in docs/consumers.md. */
export function costsTable(): string {
  const rows = [1, 50, 1000].flatMap((straps) =>
    [1, LINGER_S].map((readingsPerRecord) => {
      const { shards, putUnits, firehoseGb, shardHours, puts, firehose, sevenDays, onDemand } = costsOf({
        straps,
        rate: 1,
        readingBytes: READING_BYTES,
        readingsPerRecord,
      });
      const cells = [
        straps.toLocaleString('en-US'),
        readingsPerRecord === 1 ? 'records' : `aggregated, ${LINGER_S} s`,
        shards,
        shardHours.toFixed(2),
        putUnits.toFixed(1),
        puts.toFixed(2),
        firehoseGb.toFixed(0),
        firehose.toFixed(2),
        (shardHours + puts + firehose).toFixed(2),
        `+${sevenDays.toFixed(2)}`,
        onDemand(1).toFixed(2),
      ];
      return `| ${cells.join(' | ')} |`;
    }),
  );
  return [`| ${COLUMNS.join(' | ')} |`, `|${'---|'.repeat(COLUMNS.length)}`, ...rows].join('\n');
}
