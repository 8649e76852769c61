/** What the outbox reports about itself: lines of health and metrics. */
import { DROP_CAUSES, type DropCause } from '../contract/delivery.ts';
import type { Metric } from '../contract/metrics.ts';
import { hintOf } from '../service/errors/reason-catalogue.ts';
import { Counter, Gauge } from '../service/metrics/metrics.ts';
import type { OutboxTrouble } from './disk-errors.ts';
import type { SetAsideFiles } from './set-aside-files.ts';
import { failing, okCheck, warning, type CheckReport } from '../service/health/check-report.ts';

/**
 * For so long after the last reading was dropped the check fails, as the forwarder's check of missed readings does: who polls health
 * every minute sees it twice. Afterwards nothing is being lost, so nobody has to get up for it: the check warns until the next start.
 */
const DROPPED_FRESH_MS = 120_000;
/** Readings that are held for this long without progress fail the check. */
const NO_ACKNOWLEDGEMENT_MS = 10_000;

export interface OutboxState {
  held: number;
  window: number;
  dropped: Readonly<Record<DropCause, number>>;
  /** Since the last loss; infinite if there was none. */
  droppedAgoMs: number;
  /** What fails on the disk at present. */
  trouble: OutboxTrouble | undefined;
}

/** What cannot be read for this long is not a hiccup: nothing of that run is delivered meanwhile. */
const UNREADABLE_MS = 10_000;

const DROPPED_CODES = { outbox_full: 'outbox_full', disk_failed: 'outbox_disk_failed', damaged: 'outbox_damaged' } as const;
const DROPPED_TEXTS: Record<DropCause, string> = {
  outbox_full: 'readings were dropped',
  disk_failed: 'readings in memory were dropped while the disk rejected writes',
  damaged: 'readings on disk could not be read back',
};
const TROUBLE_HINTS: Readonly<Record<string, string>> = {
  ENOSPC: 'Free space on the disk of DATA_DIR.',
  EDQUOT: 'Raise the disk quota of the user that runs the service, or free space.',
  EROFS: 'The disk of DATA_DIR is read-only: see the kernel log (dmesg), then remount or replace it. Do not delete the outbox.',
};
const TROUBLE_CODES = { write: 'spill_failed', read: 'spill_unreadable', remove: 'spill_not_removed' } as const;

const troubleText = ({ operation, code, forMs, onDisk, inMemory }: OutboxTrouble): string =>
  `outbox disk: ${code} (${operation}) for ${Math.round(forMs / 1000)} s; ${onDisk} readings on disk kept, ${inMemory} in memory only`;

function troubleCheck(name: string, trouble: OutboxTrouble): CheckReport {
  const report = trouble.operation === 'read' && trouble.forMs > UNREADABLE_MS ? failing : warning;
  const code = TROUBLE_CODES[trouble.operation];
  return report(name, code, troubleText(trouble), TROUBLE_HINTS[trouble.code] ?? hintOf(code));
}

/** Room: whether everything that was added is still held. */
export function outboxCheck({ held, window, dropped, droppedAgoMs, trouble }: OutboxState): CheckReport {
  const name = 'outbox';
  const report = droppedAgoMs < DROPPED_FRESH_MS ? failing : warning;
  // What fails now is shown even if readings were lost long ago.
  if (trouble !== undefined && droppedAgoMs >= DROPPED_FRESH_MS) return troubleCheck(name, trouble);
  for (const cause of DROP_CAUSES)
    if (dropped[cause] > 0) {
      const now = trouble === undefined ? '' : `; ${troubleText(trouble)}`;
      const ended = droppedAgoMs < DROPPED_FRESH_MS ? '' : `; none for ${Math.floor(droppedAgoMs / 60_000)} min`;
      return report(name, DROPPED_CODES[cause], `${dropped[cause]} ${DROPPED_TEXTS[cause]}${ended}${now}`);
    }
  if (trouble !== undefined) return troubleCheck(name, trouble);
  if (held > window) return warning(name, 'outbox_filling', `${held} readings wait to be stored`);
  return okCheck(name);
}

/** Damaged files that are kept, also those of earlier processes; no line if there are none. Nothing but a person removes them. */
export function setAsideChecks(kept: Pick<SetAsideFiles, 'total' | 'folder' | 'limitBytes'> | undefined): CheckReport[] {
  if (kept === undefined || kept.total.files === 0) return [];
  const { files, bytes } = kept.total;
  const detail = `${files} damaged ${files === 1 ? 'file' : 'files'} (${Math.ceil(bytes / 1024)} KiB) kept in ${kept.folder}`;
  if (bytes <= kept.limitBytes) return [warning('outbox files', 'outbox_set_aside', detail)];
  return [failing('outbox files', 'outbox_set_aside', `${detail}, more than a quarter of OUTBOX_MAX_BYTES`)];
}

export interface DeliveryState {
  held: number;
  /** How long held readings have made no progress. */
  waitingMs: number;
  isUp: boolean;
  followed: string | undefined;
  /** A queue that answers although another one is followed. */
  foreign: string | undefined;
  /** Watermarks that were ignored because nothing so new was ever sent. */
  impossible: number;
}

/** Progress: whether the forwarder acknowledges what is sent. */
export function deliveryCheck({ held, waitingMs, isUp, followed, foreign, impossible }: DeliveryState): CheckReport {
  const name = 'delivery';
  if (held > 0 && waitingMs >= NO_ACKNOWLEDGEMENT_MS) {
    const detail = `${held} readings are held, none was acknowledged for ${Math.round(waitingMs / 1000)} s`;
    return failing(name, 'no_acknowledgement', detail, noAcknowledgementHint(isUp, followed, impossible));
  }
  if (foreign !== undefined)
    return failing(name, 'foreign_queue', `queue ${foreign} answers too, queue ${followed ?? 'unknown'} is followed`);
  return okCheck(name);
}

function noAcknowledgementHint(isUp: boolean, followed: string | undefined, impossible: number): string {
  if (!isUp) return 'The broker is not connected: check MQTT_URL and that it runs.';
  if (impossible > 0)
    return 'The forwarder confirms readings that were never sent: another box with the same GATEWAY_NAME, or a restored queue.';
  if (followed === undefined)
    return 'No forwarder has answered: check that it runs, that it serves this GATEWAY_NAME (FORWARDER_GATEWAYS), and the rights to edge/.';
  return hintOf('no_acknowledgement');
}

export interface OutboxCounts {
  taken: number;
  dropped: Readonly<Record<DropCause, number>>;
  resent: number;
  held: number;
  foreign: number;
}

export function outboxMetrics({ taken, dropped, resent, held, foreign }: OutboxCounts): Metric[] {
  const counter = (name: string, help: string, value: number): Metric => {
    const made = new Counter(name, help);
    made.setTo(value);
    return made.read();
  };
  const byCause = new Counter('hr_gateway_outbox_dropped_total', 'Readings that the outbox dropped, by cause');
  for (const [cause, count] of Object.entries(dropped)) byCause.setTo(count, { cause });
  const gauge = new Gauge('hr_gateway_outbox_held', 'Readings that are not stored yet');
  gauge.set(held);
  return [
    counter('hr_gateway_readings_taken_total', 'Readings that were added to the outbox', taken),
    byCause.read(),
    counter('hr_gateway_outbox_resent_total', 'Readings that were sent again', resent),
    counter('hr_gateway_outbox_foreign_total', 'Messages of a queue that is not followed', foreign),
    gauge.read(),
  ];
}
