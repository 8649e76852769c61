/** What adoption reports: checks for health, numbers for the gateway's status, and metrics. */
import type { AdoptionStatus } from '../../contract/gateway-status.ts';
import type { Metric } from '../../contract/metrics.ts';
import { Counter, Gauge } from '../../service/metrics/metrics.ts';
import { failing, okCheck, warning, type CheckReport } from '../../service/health/check-report.ts';
import type { Adoption } from './adoption.ts';
import { OUTCOMES, type Outcome } from './outcome-counts.ts';

/** A forwarder is given this long to connect after the start. */
const FORWARDER_GRACE_MS = 10_000;
const UNACKNOWLEDGED_MS = 10_000;

export interface AdoptionReportOptions {
  adoption: Adoption;
  hasForwarder: () => boolean;
}

export class AdoptionReport {
  readonly #options: AdoptionReportOptions;
  readonly #counters: Readonly<Record<Outcome, Counter>> = {
    adopted: new Counter('hr_gateway_adopted_total', 'Messages of other clients on hr/<device>/bpm that became readings'),
    duplicate: new Counter('hr_gateway_adoption_duplicates_total', 'Redeliveries of unacknowledged messages of other clients'),
    no_pulse: new Counter('hr_gateway_adoption_no_pulse_total', 'Messages of other clients with heart rate 0'),
    empty: new Counter('hr_gateway_adoption_empty_total', 'Empty messages of other clients on hr/<device>/bpm'),
    claimed: new Counter(
      'hr_gateway_adoption_claimed_total',
      "Messages of other clients on a strap's topic: refused, not delivered",
    ),
    share_full: new Counter(
      'hr_gateway_adoption_share_full_total',
      'QoS 0 messages delivered live only, because the share was full',
    ),
  };
  readonly #refused = new Counter(
    'hr_gateway_adoption_refused_total',
    'Messages of other clients under hr/ that were refused, by code',
  );
  readonly #held = new Gauge('hr_gateway_adoption_held', 'Readings of other clients whose PUBACK waits until they are stored');
  /** Why acknowledgements are not held; empty if they are. */
  offReason = '';
  #withForwarderAtMs = performance.now();

  constructor(options: AdoptionReportOptions) {
    this.#options = options;
  }

  checks(): CheckReport[] {
    return [this.#holdingCheck(), this.#forwarderCheck(), this.#publishersCheck()];
  }

  #holdingCheck(): CheckReport {
    return this.offReason === '' ? okCheck('adoption') : warning('adoption', 'adoption_off', this.offReason);
  }

  #forwarderCheck(): CheckReport {
    const nowMs = performance.now();
    if (this.#options.hasForwarder()) this.#withForwarderAtMs = nowMs;
    if (nowMs - this.#withForwarderAtMs < FORWARDER_GRACE_MS) return okCheck('forwarder on broker');
    return failing('forwarder on broker', 'no_forwarder', 'no forwarder is connected to this broker: nothing is stored');
  }

  #publishersCheck(): CheckReport {
    const { heldCount, oldestHeldMs, disconnectedUser: user } = this.#options.adoption;
    const waited = `${heldCount} readings of other clients wait to be stored, for up to ${Math.round(oldestHeldMs / 1000)} s`;
    if (oldestHeldMs > UNACKNOWLEDGED_MS) return failing('other clients', 'readings_unacknowledged', waited);
    if (user === undefined) return okCheck('other clients');
    return warning('other clients', 'publisher_stalled', `${user} was disconnected: none of its readings was stored for 30 s`);
  }

  status(): AdoptionStatus {
    const { adoption } = this.#options;
    return {
      holding: adoption.isHolding,
      held: adoption.heldCount,
      held_bytes: adoption.heldBytes,
      outcomes: Object.fromEntries(OUTCOMES.map((outcome) => [outcome, adoption.counts.of(outcome)])),
      refused: adoption.counts.refused,
      stalled_connections: adoption.stalledConnections,
      devices: adoption.devices.read(),
    };
  }

  metrics(): Metric[] {
    const { adoption } = this.#options;
    for (const outcome of OUTCOMES) this.#counters[outcome].setTo(adoption.counts.of(outcome));
    for (const [code, count] of Object.entries(adoption.counts.refused)) this.#refused.setTo(count, { code });
    this.#held.set(adoption.heldCount);
    return [...OUTCOMES.map((outcome) => this.#counters[outcome].read()), this.#refused.read(), this.#held.read()];
  }
}
