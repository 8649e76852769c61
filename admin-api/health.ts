/** Health that tells causes: every service's checks, and whether the service itself and the broker are there. */
import type { Check } from '../contract/service-status.ts';
import type { ServiceName } from '../contract/topics.ts';
import type { Fleet } from './fleet.ts';

export interface Health {
  status: 'ok' | 'degraded' | 'down';
  checks: Check[];
}

/** Services without which no reading is accepted. */
const EXPECTED: readonly ServiceName[] = ['gateway', 'ble-bridge', 'forwarder'];
const HINTS: Record<string, string> = {
  gateway: 'Look at the log of the gateway; its supervisor starts it again.',
  'ble-bridge': 'Look at the log of the ble-bridge; its supervisor starts it again. Straps are not read meanwhile.',
  forwarder: 'Look at the log of the forwarder; its supervisor starts it again. The bridge holds readings meanwhile.',
};

/** The broker as the admin API sees it; `name` is its URL without credentials. */
export interface BrokerLine {
  connected: boolean;
  since: string;
  own: boolean;
  name: string;
}

const BROKER_HINTS = {
  own: 'Start the gateway, or read its log. The values shown are the last known ones.',
  external:
    'Check that the broker runs, that this box reaches it, and the credentials in MQTT_URL. The values shown are the last known ones.',
};

export function healthOf(fleet: Fleet, line: BrokerLine): Health {
  if (!line.connected)
    return {
      status: 'down',
      checks: [
        {
          name: 'broker',
          status: 'fail',
          since: line.since,
          reason: `broker_away: the admin API has no connection to the broker ${line.name}`,
          hint: BROKER_HINTS[line.own ? 'own' : 'external'],
        },
      ],
    };
  const checks: Check[] = [{ name: 'broker', status: 'ok', since: line.since, reason: '', hint: '' }];
  for (const name of EXPECTED) {
    // An external broker may be the gateway of another box, which reports a status of its own; any other broker reports none.
    if (name === 'gateway' && !line.own && fleet.service(name) === undefined) continue;
    const heard = fleet.service(name);
    if (heard === undefined) {
      checks.push({
        name,
        status: 'fail',
        since: line.since,
        reason: `service_unknown: ${name} has said nothing yet`,
        hint: HINTS[name] ?? '',
      });
      continue;
    }
    if (heard.stale) {
      const offline = heard.value.state === 'offline';
      checks.push({
        name,
        status: 'fail',
        since: offline ? heard.value.since : new Date(heard.atMs).toISOString(),
        reason: `${offline ? 'service_offline' : 'service_silent'}: ${name} ${offline ? 'is offline' : 'has said nothing for a while'}`,
        hint: HINTS[name] ?? '',
      });
      continue;
    }
    const own = heard.value.checks ?? [];
    checks.push({ name, status: 'ok', since: heard.value.since, reason: '', hint: '' });
    for (const check of own) checks.push(check);
  }
  return { status: checks.some(({ status }) => status !== 'ok') ? 'degraded' : 'ok', checks };
}

/** Health as lines for a terminal. */
export function healthText({ status, checks }: Health): string {
  const lines = checks.map(
    (check) =>
      `${check.status.padEnd(4)}  ${check.name}${check.reason === '' ? '' : `  since ${check.since}  ${check.reason}\n      → ${check.hint}`}`,
  );
  return `${status}\n${lines.join('\n')}\n`;
}
