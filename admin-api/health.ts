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

export function healthOf(fleet: Fleet, line: { connected: boolean; since: string; ownBroker: boolean }): Health {
  if (!line.connected)
    return {
      status: 'down',
      checks: [
        {
          name: 'broker',
          status: 'fail',
          since: line.since,
          reason: 'broker_away: the admin API has no connection to the broker',
          hint: 'Start the gateway, or look at its log. What is shown is the last that was known.',
        },
      ],
    };
  const checks: Check[] = [{ name: 'broker', status: 'ok', since: line.since, reason: '', hint: '' }];
  for (const name of EXPECTED) {
    if (name === 'gateway' && !line.ownBroker && fleet.service(name) === undefined) continue;
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
