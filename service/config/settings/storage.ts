/** Settings of what is stored on the box: the forwarder's queue and the bridge's outbox. */
import { KiB, MiB, type Setting } from './setting.ts';

export const STORAGE_SETTINGS = {
  QUEUE_COMMIT_INTERVAL_MS: {
    type: 'integer',
    default: 100,
    min: 0,
    max: 60_000,
    doc: 'Longest time between two commits of a busy queue; an idle queue commits at once. Raise it to reduce flash wear.',
    usedBy: ['forwarder'],
  },
  QUEUE_MAX_BYTES: {
    type: 'bytes',
    default: 1024 * MiB,
    min: MiB,
    max: 1024 * 1024 * MiB,
    doc: 'Maximum size of the queue on disk (used pages and WAL). It decides how long an outage the box can bridge.',
    usedBy: ['forwarder'],
  },
  QUEUE_MIN_FREE_DISK_BYTES: {
    type: 'bytes',
    default: 32 * MiB,
    min: 0,
    max: 1024 * 1024 * MiB,
    doc:
      'If less space is free on its disk, the queue rejects writes and the bridge holds its readings. Raise it to leave ' +
      'space for other programs.',
    usedBy: ['forwarder'],
  },
  QUEUE_WHEN_FULL: {
    type: 'choice',
    default: 'evict-oldest',
    choices: ['evict-oldest', 'refuse'],
    doc: 'What happens at the limit: evict the oldest readings (counted), or reject new ones (the bridge holds them).',
    usedBy: ['forwarder'],
  },
  AUDIT_DAYS: {
    type: 'integer',
    default: 90,
    min: 1,
    max: 3650,
    doc: 'Days for which the queue remembers what became of each reading of a run, after the run has closed.',
    usedBy: ['forwarder'],
  },
  OUTBOX_WINDOW: {
    type: 'integer',
    default: 2000,
    min: 20,
    max: 100_000,
    doc: 'Maximum number of readings sent but not yet stored. Raise it for throughput over a slow link or a slow disk.',
    usedBy: ['gateway', 'ble-bridge'],
  },
  OUTBOX_MEMORY: {
    type: 'integer',
    default: 10_000,
    min: 100,
    max: 1_000_000,
    doc:
      'Number of readings that the bridge (and the gateway, of other clients) holds in memory; from half of it on, readings are ' +
      'written to disk. Lower it ' +
      'on a box with little memory.',
    usedBy: ['gateway', 'ble-bridge'],
  },
  OUTBOX_MAX_BYTES: {
    type: 'bytes',
    default: 256 * MiB,
    min: 64 * KiB,
    max: 1024 * 1024 * MiB,
    doc:
      'Maximum size of the readings that the bridge (and the gateway, of other clients) holds on disk while the forwarder is ' +
      'unavailable.',
    usedBy: ['gateway', 'ble-bridge'],
  },
} as const satisfies Record<string, Setting>;
