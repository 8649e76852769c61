/**
 * The reading, version 1 (design section 2): what stands on `hr/<device>/bpm`, in the queue and, with a newline, in a
 * Kinesis record. (gateway, run, seq) is its identity for ever. The first two fields are the record of the old script.
 */
import type { FromSchema } from 'json-schema-to-ts';
import { parseJson, validatorOf, type Validated } from './validate.ts';

export const readingSchema = {
  $id: 'reading',
  type: 'object',
  properties: {
    timestamp: { type: 'string', pattern: '^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}(\\.\\d{1,9})?Z$', maxLength: 40 },
    heart_rate: { type: 'integer', minimum: 1, maximum: 65535 },
    device: { type: 'string', pattern: '^[a-z0-9-]{1,64}$' },
    gateway: { type: 'string', minLength: 1, maxLength: 128 },
    run: { type: 'string', pattern: '^[0-9a-f]{16}$' },
    seq: { type: 'integer', minimum: 1, maximum: 9007199254740991 },
    rr_intervals_ms: { type: 'array', items: { type: 'number', minimum: 0 } },
    sensor_contact: { type: ['boolean', 'null'] },
    energy_expended_kj: { type: ['integer', 'null'], minimum: 0 },
    clock: { enum: ['synced', 'unsynced', 'unknown'] },
    source: { enum: ['simulated', 'replay'] },
  },
  required: ['timestamp', 'heart_rate'],
  additionalProperties: true,
} as const;

/** A reading as any app may publish it: only timestamp and heart_rate are required. */
export type IncomingReading = FromSchema<typeof readingSchema>;

/** A reading as the bridge publishes it and as the stream holds it. `source` is absent on a real one. */
export interface Reading {
  /** Arrival of the notification at the bridge, UTC, milliseconds. */
  timestamp: string;
  /** Beats a minute, 1-65535. */
  heart_rate: number;
  device: string;
  gateway: string;
  run: string;
  seq: number;
  /** raw × 1000 / 1024, oldest first, as sent. */
  rr_intervals_ms: number[];
  /** null: the strap does not support contact detection. */
  sensor_contact: boolean | null;
  energy_expended_kj: number | null;
  clock: 'synced' | 'unsynced' | 'unknown';
  source?: 'simulated' | 'replay';
}

const checkReading = validatorOf(readingSchema);

/** Parses and checks a reading's JSON; never throws. `reason` says which field is wrong. */
export function parseReading(payload: string | Buffer): Validated<IncomingReading> {
  return parseJson(payload, checkReading);
}

/** Largest reading that is taken, in bytes of JSON; larger ones become dead letters. The record limit of a stream is 1 MiB. */
export const READING_MAX_BYTES = 256 * 1024;
