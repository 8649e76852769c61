/** Health with causes: every service's checks, and whether the service itself and the broker are there. */
import type { Check } from '../contract/check.ts';
import { serviceStatusTopic, type ServiceName } from '../contract/topics.ts';
import { failing, okCheck, type CheckReport } from '../service/health/check-report.ts';
import type { Trouble } from '../service/mqtt/link-trouble.ts';
import type { Health } from './answer-schemas.ts';
import type { Fleet, KnownStatus } from './fleet.ts';

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
  /** What the broker answered, if it gave a reason. */
  trouble: Trouble | undefined;
}

/** A check, and the box that it is about. */
export interface BoxCheck {
  gateway: string;
  check: Check;
}

const BROKER_HINTS = {
  own: 'Start the gateway, or read its log. The values shown are the last known ones.',
  external:
    'Check that the broker runs, that this box reaches it, and the credentials in MQTT_URL. The values shown are the last known ones.',
};

/** Another box's bridge has no supervisor here. */
const otherBridgeHint = (gateway: string): string =>
  `Check the ble-bridge on the box ${gateway}; it holds its readings meanwhile. If that box was removed for good, remove its ` +
  `retained status: publish an empty retained message on ${serviceStatusTopic(gateway, 'ble-bridge')}.`;

/** Checks that several services report of themselves: their names say which service. */
const OF_SEVERAL_SERVICES = new Set(['broker connection', 'gateway name', 'log', 'certificate']);

const named = (service: ServiceName, check: Check): Check =>
  OF_SEVERAL_SERVICES.has(check.name) ? { ...check, name: `${check.name} of ${service}` } : check;

const since = (time: string, report: CheckReport): Check => ({ ...report, since: time });

function serviceChecks(fleet: Fleet, name: ServiceName, hint: string, broker: BrokerLine): Check[] {
  const known = fleet.service(name);
  if (known === undefined) {
    // No gateway of this box runs on an external broker.
    if (name === 'gateway' && !broker.own) return [];
    return [since(broker.since, failing(name, 'service_unknown', `no status from ${name} yet`, hint))];
  }
  return statusChecks(name, known, hint);
}

/** The checks of the bridges of other boxes that deliver to this one. */
function otherBridgesChecks(fleet: Fleet): BoxCheck[] {
  return fleet.otherBridges().flatMap((gateway) => {
    const known = fleet.service('ble-bridge', gateway);
    if (known === undefined) return [];
    return statusChecks('ble-bridge', known, otherBridgeHint(gateway)).map((check) => ({ gateway, check }));
  });
}

function statusChecks(name: ServiceName, { value: status, atMs, stale }: KnownStatus, hint: string): Check[] {
  if (status.state === 'offline') return [since(status.since, failing(name, 'service_offline', `${name} is offline`, hint))];
  if (stale)
    return [since(new Date(atMs).toISOString(), failing(name, 'service_silent', `${name} stopped publishing its status`, hint))];
  return [since(status.since, okCheck(name)), ...(status.checks ?? []).map((check) => named(name, check))];
}

/** The broker's own answer is the cause, if it gave one; an own broker that is away has only to be started. */
function brokerCheck({ connected, own, name, trouble }: BrokerLine): CheckReport {
  if (trouble !== undefined && (connected || !own || trouble.code !== 'broker_unreachable'))
    return failing('broker', trouble.code, `${name}: ${trouble.detail}`);
  if (connected) return okCheck('broker');
  return failing(
    'broker',
    'broker_away',
    `the admin API has no connection to the broker ${name}`,
    BROKER_HINTS[own ? 'own' : 'external'],
  );
}

/** Every check of the box and of the bridges that deliver to it, as the admin API sees them; `own`: its own checks. */
export function checksOf(fleet: Fleet, broker: BrokerLine, own: readonly Check[]): BoxCheck[] {
  const { gateway } = fleet;
  const line = since(broker.since, brokerCheck(broker));
  const ownChecks = own.map((check) => named('admin-api', check));
  // What the services reported last is not known to be true any more.
  const services = broker.connected ? EXPECTED.flatMap(({ name, hint }) => serviceChecks(fleet, name, hint, broker)) : [];
  return [
    ...[line, ...services, ...ownChecks].map((check) => ({ gateway, check })),
    ...(broker.connected ? otherBridgesChecks(fleet) : []),
  ];
}

/** The health of the whole box; the checks of another box are named after it. */
export function healthOf(fleet: Fleet, broker: BrokerLine, own: readonly Check[]): Health {
  const checks = checksOf(fleet, broker, own).map(({ gateway, check }) =>
    gateway === fleet.gateway ? check : { ...check, name: `${gateway}: ${check.name}` },
  );
  if (!broker.connected) return { status: 'down', checks };
  return { status: checks.some(({ status }) => status !== 'ok') ? 'degraded' : 'ok', checks };
}

/** Health as lines for a terminal. */
export function healthText({ status, checks }: Health): string {
  const lines = checks.map((check) => {
    const line = `${check.status.padEnd(4)}  ${check.name}`;
    if (check.code === '') return check.reason === '' ? line : `${line}  ${check.reason}`;
    return `${line}  since ${check.since}  ${check.code}: ${check.reason}\n      → ${check.hint}`;
  });
  return `${status}\n${lines.join('\n')}\n`;
}
