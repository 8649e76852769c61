/** What the outbox reports about itself: lines of health and metrics. */
import type { DropCause } from '../contract/delivery.ts';
import type { Metric } from '../contract/metrics.ts';
import { hintOf } from '../service/errors/reason-catalogue.ts';
import { Counter, Gauge } from '../service/metrics/metrics.ts';
import { failing, okCheck, warning, type CheckReport } from '../service/health/check-report.ts';

/** So long after readings were dropped health fails; afterwards it warns. */
const DROPPED_FRESH_MS = 300_000;
/** Readings that are held for this long without progress fail the check. */
const NO_ACKNOWLEDGEMENT_MS = 10_000;

export interface OutboxState {
  held: number;
  window: number;
  dropped: Readonly<Record<DropCause, number>>;
  droppedAgoMs: number;
  /** What the disk said to the last write; undefined if it succeeded. */
  diskTrouble: string | undefined;
}

/** Room: whether everything that was added is still held. */
export function outboxCheck({ held, window, dropped, droppedAgoMs, diskTrouble }: OutboxState): CheckReport {
  const name = 'outbox';
  const report = droppedAgoMs < DROPPED_FRESH_MS ? failing : warning;
  if (dropped.outbox_full > 0) return report(name, 'outbox_full', `${dropped.outbox_full} readings were dropped`);
  if (dropped.damaged > 0) return report(name, 'outbox_damaged', `${dropped.damaged} readings on disk could not be read back`);
  if (diskTrouble !== undefined) return warning(name, 'spill_failed', diskTrouble);
  if (held > window) return warning(name, 'outbox_filling', `${held} readings wait to be stored`);
  return okCheck(name);
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
