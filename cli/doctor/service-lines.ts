/** Asks the running services, over MQTT: broker, every service's checks, queue. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import type { ServiceStatus } from '../../contract/service-status.ts';
import { parseServiceStatus } from '../../contract/service-status.ts';
import { SERVICE_STATUS_FILTER } from '../../contract/topics.ts';
import { brokerOf } from '../../service/config/broker.ts';
import { maskUrl, type Config } from '../../service/config/config.ts';
import type { Logger } from '../../service/log/log.ts';
import { isOffStream } from '../../service/process/clock-state.ts';
import { MqttLink } from '../../service/mqtt/mqtt-link.ts';
import { fail, ok, warn, type DoctorLine } from './check-line.ts';

/** Whose right to read statuses the doctor uses. */
const READER = 'admin-api';
const CONNECT_LIMIT_MS = 5000;
/** Retained statuses come right after the SUBACK; those of services that never ran never come. */
const RETAINED_WAIT_MS = 2000;
const LOOK_MS = 50;
const EXPECTED = ['ble-bridge', 'forwarder', 'admin-api'];
/** A service says its status every 5 s. */
const SILENT_AFTER_MS = 20_000;

/**
 * A failing line where there is no key for the broker; undefined where there is one. The doctor makes none: run as root before the first
 * start it would be the owner of a folder that the services could not write to.
 */
export function missingKeyLine(config: Config): DoctorLine | undefined {
  const file = path.join(config.DATA_DIR, 'keys', READER);
  if (new URL(config.MQTT_URL).username !== '' || existsSync(file)) return undefined;
  return fail(
    'broker',
    `not asked: there is no key ${file}`,
    'Start the services once (npm start or docker compose up -d), or set DATA_DIR to the folder that they use.',
  );
}

/** The last status of each service; undefined where the broker does not answer. Throws HrError `data_dir_unusable`. */
export async function readStatuses(config: Config, log: Logger): Promise<Map<string, ServiceStatus> | undefined> {
  const heard = new Map<string, ServiceStatus>();
  const link = new MqttLink({
    service: READER,
    config,
    log,
    subscriptions: {
      [SERVICE_STATUS_FILTER]: (_topic, payload) => {
        const status = parseServiceStatus(payload);
        if (status.ok) heard.set(status.value.service, status.value);
      },
    },
  });
  try {
    const up = await new Promise<boolean>((resolve) => {
      const limit = setTimeout(() => resolve(false), CONNECT_LIMIT_MS);
      link.on('up', () => {
        clearTimeout(limit);
        const until = performance.now() + RETAINED_WAIT_MS;
        const look = setInterval(() => {
          if (performance.now() < until && !EXPECTED.every((name) => heard.has(name))) return;
          clearInterval(look);
          resolve(true);
        }, LOOK_MS);
      });
      link.start();
    });
    return up ? heard : undefined;
  } finally {
    await link.stop();
  }
}

function serviceLine(name: string, status: ServiceStatus | undefined): DoctorLine {
  if (status === undefined) return fail(name, 'has never said anything to this broker', 'Start it, and look at its log.');
  if (status.state === 'offline') return fail(name, `offline since ${status.since}`, 'Start it, and look at its log.');
  const silentMs = status.as_of === undefined ? 0 : Date.now() - Date.parse(status.as_of);
  if (silentMs > SILENT_AFTER_MS)
    return fail(
      name,
      `has said nothing for ${Math.round(silentMs / 1000)} s`,
      'It hangs, or its broker connection does: look at its log, restart it.',
    );
  const bad = (status.checks ?? []).filter((check) => check.status !== 'ok');
  const worst = bad.find((check) => check.status === 'fail') ?? bad[0];
  if (worst === undefined) return ok(name, `online since ${status.since}, version ${status.version}`);
  return (worst.status === 'fail' ? fail : warn)(name, `${worst.name}: ${worst.reason}`, worst.hint);
}

/** The radio as the running bridge sees it. */
function bridgeLines(status: ServiceStatus | undefined): DoctorLine[] {
  if (status?.bridge === undefined || status.state !== 'online') return [];
  const { source, radio } = status.bridge;
  if (source !== 'noble')
    return [
      source === 'none'
        ? warn('radio', 'no source of readings is chosen', 'See the lines of the adapter.')
        : ok('radio', `not used: readings are ${source === 'replay' ? 'replayed' : 'simulated'}`),
    ];
  const times =
    radio.reconnect_ms_p50 === null
      ? ''
      : `, reconnects in ${radio.reconnect_ms_p50} ms (p50), ${radio.reconnect_ms_p95} ms (p95)`;
  const ends = Object.entries(radio.disconnects)
    .map(([reason, count]) => `${count} ${reason}`)
    .join(', ');
  const words = `${radio.adapter ?? 'no adapter'} ${radio.state}, ${radio.advertisements_per_minute} advertisements in the last minute, ${radio.connects} connects${ends === '' ? '' : ` (ended: ${ends})`}${times}`;
  if (radio.state !== 'powered_on') return [fail('radio', words, 'See the lines of the adapter.')];
  if (radio.straps_limit !== null)
    return [
      warn(
        'radio',
        `${words}; the adapter takes ${radio.straps_limit} straps at once`,
        'For more straps use an adapter that takes more links.',
      ),
    ];
  if (radio.advertisements_per_minute === 0 && radio.connects === 0)
    return [warn('radio', `${words}: nothing is heard`, 'Put a strap on, switch a watch to broadcast; check the antenna.')];
  return [ok('radio', words)];
}

function forwarderLines(status: ServiceStatus | undefined): DoctorLine[] {
  const forwarder = status?.forwarder;
  if (forwarder === undefined || status?.state !== 'online') return [];
  const lines = [
    ok(
      'queue',
      `${forwarder.depth} readings, oldest ${Math.round(forwarder.oldest_age_seconds)} s, ${forwarder.bytes} bytes, ${forwarder.dead_letters} dead letters`,
    ),
  ];
  const { state, reason, hint } = forwarder.uplink;
  if (state === 'ok')
    lines.push(
      ok('stream', `${forwarder.stream} on ${forwarder.target_name}, last shipped ${forwarder.last_shipped_at ?? 'never'}`),
    );
  else
    lines.push(
      (state === 'throttled' ? warn : fail)(
        'stream',
        `${forwarder.stream} on ${forwarder.target_name}: ${state}: ${reason}`,
        hint,
      ),
    );
  if (isOffStream(forwarder.clock_ahead_ms))
    lines.push(
      warn(
        'clock against the stream',
        `this box is ${forwarder.clock_ahead_ms} ms ahead`,
        'Set the time (timedatectl set-ntp true).',
      ),
    );
  return lines;
}

/** Broker, services and queue; a broker that is away is one failing line. */
export function serviceLines(config: Config, heard: ReadonlyMap<string, ServiceStatus> | undefined): DoctorLine[] {
  const broker = maskUrl(config.MQTT_URL);
  const own = brokerOf(config).kind === 'own';
  if (heard === undefined)
    return [
      fail(
        'broker',
        `${broker} does not answer, or refuses this box's key`,
        own
          ? 'Start the services (npm start or docker compose up -d); in containers run the doctor there.'
          : 'Check that the external broker runs, that this box reaches it, and the credentials in MQTT_URL.',
      ),
    ];
  // An external broker may be the gateway of another box, which reports a status of its own; any other broker reports none.
  const names = own || heard.has('gateway') ? ['gateway', ...EXPECTED] : EXPECTED;
  return [
    ok('broker', own ? broker : `${broker} (external)`),
    ...names.map((name) => serviceLine(name, heard.get(name))),
    ...bridgeLines(heard.get('ble-bridge')),
    ...forwarderLines(heard.get('forwarder')),
  ];
}
