/** Health with causes: every service's checks, and whether the service itself and the broker are there. */
import type { Check } from '../contract/check.ts';
import type { ServiceName } from '../contract/topics.ts';
import { failing, okCheck, type CheckReport } from '../service/health/check-report.ts';
import type { Fleet } from './fleet.ts';

export interface Health {
  status: 'ok' | 'degraded' | 'down';
  checks: Check[];
}

/** The services without which no reading is accepted, and what each one's absence means. */
const EXPECTED: readonly { name: ServiceName; hint: string }[] = [
  { name: 'gateway', hint: 'Check the log of the gateway; its supervisor restarts it.' },
  { name: 'ble-bridge', hint: 'Check the log of the ble-bridge; its supervisor restarts it. Straps are not read meanwhile.' },
  { name: 'forwarder', hint: 'Check the log of the forwarder; its supervisor restarts it. The bridge holds readings meanwhile.' },
];

/** The broker as the admin API sees it; `name` is its URL without credentials. */
export interface BrokerLine {
  connected: boolean;
  /** When the connection was established or lost. */
  since: string;
  own: boolean;
  name: string;
}

const BROKER_HINTS = {
  own: 'Start the gateway, or read its log. The values shown are the last known ones.',
  external:
    'Check that the broker runs, that this box reaches it, and the credentials in MQTT_URL. The values shown are the last known ones.',
};

const since = (time: string, report: CheckReport): Check => ({ ...report, since: time });

function serviceChecks(fleet: Fleet, name: ServiceName, hint: string, broker: BrokerLine): Check[] {
  const known = fleet.service(name);
  if (known === undefined) {
    // An external broker may be the gateway of another box, which reports a status of its own; any other broker reports none.
    if (name === 'gateway' && !broker.own) return [];
    return [since(broker.since, failing(name, 'service_unknown', `no status from ${name} yet`, hint))];
  }
  const { value: status, atMs, stale } = known;
  if (status.state === 'offline') return [since(status.since, failing(name, 'service_offline', `${name} is offline`, hint))];
  if (stale)
    return [since(new Date(atMs).toISOString(), failing(name, 'service_silent', `${name} stopped publishing its status`, hint))];
  return [since(status.since, okCheck(name)), ...(status.checks ?? [])];
}

/** The health of the whole box, as the admin API sees it. */
export function healthOf(fleet: Fleet, broker: BrokerLine): Health {
  if (!broker.connected) {
    const hint = BROKER_HINTS[broker.own ? 'own' : 'external'];
    const reason = `the admin API has no connection to the broker ${broker.name}`;
    return { status: 'down', checks: [since(broker.since, failing('broker', 'broker_away', reason, hint))] };
  }
  const checks = [
    since(broker.since, okCheck('broker')),
    ...EXPECTED.flatMap(({ name, hint }) => serviceChecks(fleet, name, hint, broker)),
  ];
  return { status: checks.some(({ status }) => status !== 'ok') ? 'degraded' : 'ok', checks };
}

/** Health as lines for a terminal. */
export function healthText({ status, checks }: Health): string {
  const lines = checks.map((check) => {
    const line = `${check.status.padEnd(4)}  ${check.name}`;
    return check.code === '' ? line : `${line}  since ${check.since}  ${check.code}: ${check.reason}\n      → ${check.hint}`;
  });
  return `${status}\n${lines.join('\n')}\n`;
}
