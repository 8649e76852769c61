/** Checks the running services over MQTT: broker, the checks of each service, radio, queue, upload. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import type { Check } from '../../contract/check.ts';
import type { DeviceStatus } from '../../contract/device-status.ts';
import type { ServiceStatus } from '../../contract/service-status.ts';
import { parseServiceStatus, STATUS_STALE_MS } from '../../contract/service-status.ts';
import { DEVICE_STATUS_FILTER, SERVICE_STATUS_FILTER, serviceOfTopic } from '../../contract/topics.ts';
import { brokerOf, servedGateways, serves } from '../../service/network/broker.ts';
import { parseBrokerUrl } from '../../service/network/broker-url.ts';
import { gatewayName } from '../../service/storage/data-dir.ts';
import { maskUrl, type Config } from '../../service/config/config.ts';
import type { Logger } from '../../service/log/log.ts';
import { isOffStream } from '../../service/process/clock-state.ts';
import { hintOf } from '../../service/errors/reason-catalogue.ts';
import type { Trouble } from '../../service/mqtt/link-trouble.ts';
import { MqttLink } from '../../service/mqtt/mqtt-link.ts';
import { fail, ok, warn, type DoctorLine } from './check-line.ts';
import { strapOf } from './strap-lines.ts';

/** The services whose key the doctor may use, the first that it finds: a container has the key of its own service only. */
const READERS = ['admin-api', 'ble-bridge', 'forwarder'] as const;
const CONNECT_LIMIT_MS = 5000;
/** Retained statuses follow the SUBACK at once; services that never ran have none. */
const RETAINED_WAIT_MS = 2000;
/** Those of the straps arrive beside them. */
const STRAPS_WAIT_MS = 200;
const POLL_MS = 50;
const EXPECTED = ['ble-bridge', 'forwarder', 'admin-api'];

const keyFile = (config: Config, service: string): string => path.join(config.DATA_DIR, 'keys', service);

/** The service as which the doctor connects. */
const readerOf = (config: Config): (typeof READERS)[number] =>
  READERS.find((service) => existsSync(keyFile(config, service))) ?? READERS[0];

/**
 * A failing line if there is no key for the broker, otherwise undefined. The doctor creates no key: if it were run as root before the
 * first start, root would own a folder that the services must write to.
 */
export function missingKeyLine(config: Config): DoctorLine | undefined {
  // With credentials in MQTT_URL no key is needed, but the name of this box is: it is part of the topics.
  const hasCredentials = parseBrokerUrl(config.MQTT_URL).username !== undefined;
  const named = path.join(config.DATA_DIR, 'gateway-name');
  if (hasCredentials && config.GATEWAY_NAME === undefined && !existsSync(named))
    return fail(
      'broker',
      `not checked: the name of this box is unknown, the file ${named} does not exist`,
      'Set GATEWAY_NAME, start the services once, or set DATA_DIR to the folder that they use.',
    );
  const file = keyFile(config, readerOf(config));
  if (hasCredentials || existsSync(file)) return undefined;
  return fail(
    'broker',
    `not checked: the key ${file} does not exist`,
    'Start the services once (npm start or docker compose up -d), or set DATA_DIR to the folder that they use.',
  );
}

/** Statuses of this box by service, of other boxes' bridges by `<gateway>: ble-bridge`. */
export type Statuses = ReadonlyMap<string, ServiceStatus>;

/**
 * The last status of each service, or undefined if the broker does not answer. Statuses that do not match the contract are added to
 * `refused`, the reason by topic; the straps' statuses are added to `straps`. `onTrouble` receives the reason if the broker does not
 * answer. Throws HrError `data_dir_unusable`.
 */
export async function readStatuses(
  config: Config,
  log: Logger,
  refused: Map<string, string>,
  straps: Map<string, DeviceStatus> = new Map(),
  onTrouble: (trouble: Trouble | undefined) => void = () => undefined,
): Promise<Statuses | undefined> {
  const statuses = new Map<string, ServiceStatus>();
  const own = gatewayName(config);
  const served = servedGateways(config, own);
  const link = new MqttLink({
    service: readerOf(config),
    config,
    log,
    subscriptions: {
      // Before those of the services: retained messages arrive in this order.
      [DEVICE_STATUS_FILTER]: (topic, payload) => {
        const status = strapOf(payload);
        if (status !== undefined && (status.gateway === undefined || serves(served, status.gateway))) straps.set(topic, status);
      },
      [SERVICE_STATUS_FILTER]: (topic, payload) => {
        const status = parseServiceStatus(payload);
        const source = serviceOfTopic(topic);
        if (source === undefined || payload.length === 0) return;
        const { gateway, service } = source;
        const key = gateway === own ? service : `${gateway}: ${service}`;
        if (gateway !== own && !(service === 'ble-bridge' && serves(served, gateway))) return;
        if (status.ok) statuses.set(key, status.value);
        else refused.set(topic, status.reason);
      },
    },
  });
  try {
    const up = await new Promise<boolean>((resolve) => {
      const limit = setTimeout(() => resolve(false), CONNECT_LIMIT_MS);
      link.on('up', () => {
        clearTimeout(limit);
        const until = performance.now() + RETAINED_WAIT_MS;
        const poll = setInterval(() => {
          if (performance.now() < until && !EXPECTED.every((name) => statuses.has(name))) return;
          clearInterval(poll);
          setTimeout(() => resolve(true), STRAPS_WAIT_MS);
        }, POLL_MS);
      });
      link.start();
    });
    onTrouble(up ? undefined : link.trouble);
    return up ? statuses : undefined;
  } finally {
    await link.stop();
  }
}

/** A service that is there, or each of its checks that is not ok. The line `stream` has the uplink. */
function linesOfService(name: string, status: ServiceStatus | undefined): DoctorLine[] {
  if (status === undefined) return [fail(name, 'has never reported a status to this broker', 'Start it, and read its log.')];
  if (status.state === 'offline') return [fail(name, `offline since ${status.since}`, 'Start it, and read its log.')];
  const silentMs = status.as_of === undefined ? 0 : Date.now() - Date.parse(status.as_of);
  if (silentMs > STATUS_STALE_MS)
    return [
      fail(
        name,
        `last status ${Math.round(silentMs / 1000)} s ago`,
        'It hangs, or its connection to the broker does: read its log and restart it.',
      ),
    ];
  const isInStreamLine = (check: Check): boolean => check.name === 'uplink' && status.forwarder !== undefined;
  const bad = (status.checks ?? []).filter((check) => check.status !== 'ok' && !isInStreamLine(check));
  if (bad.length === 0) return [ok(name, `online since ${status.since}, version ${status.version}`)];
  return bad
    .toSorted((a, b) => Number(b.status === 'fail') - Number(a.status === 'fail'))
    .map((check) => (check.status === 'fail' ? fail : warn)(name, `${check.name}: ${check.code}: ${check.reason}`, check.hint));
}

/** The radio as the running bridge reports it. */
function bridgeLines(status: ServiceStatus | undefined): DoctorLine[] {
  if (status?.bridge === undefined || status.state !== 'online') return [];
  const { source, radio } = status.bridge;
  if (source !== 'noble')
    return [
      source === 'none'
        ? warn('radio', 'no source of readings is available', 'See the radio lines above.')
        : ok('radio', `not used: readings are ${source === 'replay' ? 'replayed' : 'simulated'}`),
    ];
  const times =
    radio.reconnect_ms_p50 === null
      ? ''
      : `, reconnects in ${radio.reconnect_ms_p50} ms (p50), ${radio.reconnect_ms_p95} ms (p95)`;
  const ends = Object.entries(radio.disconnects)
    .map(([reason, count]) => `${count} ${reason}`)
    .join(', ');
  const connects = `${radio.connects} connects${ends === '' ? '' : ` (ended: ${ends})`}`;
  const found =
    `${radio.adapter ?? 'no adapter'} ${radio.state}, ` +
    `${radio.advertisements_per_minute} advertisements in the last minute, ${connects}${times}`;
  if (radio.state !== 'powered_on') return [fail('radio', found, 'See the radio lines above.')];
  if (radio.straps_limit !== null)
    return [
      warn(
        'radio',
        `${found}; the adapter supports ${radio.straps_limit} straps at once`,
        'For more straps use an adapter that supports more connections.',
      ),
    ];
  if (radio.advertisements_per_minute === 0 && radio.connects === 0)
    return [
      warn('radio', `${found}: no strap in range`, 'Put on a strap, or let a watch broadcast its heart rate; check the antenna.'),
    ];
  return [ok('radio', found)];
}

function forwarderLines(status: ServiceStatus | undefined): DoctorLine[] {
  const forwarder = status?.forwarder;
  if (forwarder === undefined || status?.state !== 'online') return [];
  const lines = [
    ok(
      'queue',
      `${forwarder.depth} readings, oldest ${Math.round(forwarder.oldest_age_seconds)} s, ` +
        `${forwarder.bytes} bytes, ${forwarder.dead_letters} dead letters`,
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

const refusedLine = ([topic, reason]: readonly [string, string]): DoctorLine =>
  warn(
    topic,
    `ignored: the status does not match the contract: ${reason}`,
    'Update all services and this command to one version.',
  );

/** The broker, as this process sees it: it answers, or why it does not. */
export function brokerLine(config: Config, answers: boolean, trouble?: Trouble): DoctorLine {
  const broker = maskUrl(config.MQTT_URL);
  const own = brokerOf(config).kind === 'own';
  if (answers) return ok('broker', own ? broker : `${broker} (external)`);
  if (trouble === undefined || (own && trouble.code === 'broker_unreachable'))
    return fail(
      'broker',
      `${broker} does not answer${trouble === undefined ? '' : `: ${trouble.detail}`}`,
      own
        ? 'Start the gateway: npm start, systemctl start hr-gateway, or docker compose up -d (then run the doctor in a container).'
        : hintOf('broker_unreachable'),
    );
  if (own && trouble.code === 'broker_refused')
    return fail(
      'broker',
      `${broker}: ${trouble.code}: ${trouble.detail}`,
      `The key in ${path.join(config.DATA_DIR, 'keys')} is not that of this gateway: set DATA_DIR to the folder that it uses.`,
    );
  return fail('broker', `${broker}: ${trouble.code}: ${trouble.detail}`, hintOf(trouble.code));
}

/**
 * Broker, services and queue. Without statuses (nothing answers) the line of the broker alone. `refused`: see `readStatuses`.
 */
export function serviceLines(
  config: Config,
  statuses: Statuses | undefined,
  refused: ReadonlyMap<string, string> = new Map(),
  broker: DoctorLine = brokerLine(config, statuses !== undefined),
): DoctorLine[] {
  const own = brokerOf(config).kind === 'own';
  if (statuses === undefined) return [broker];
  const others = [...statuses.keys()].filter((name) => name.endsWith(': ble-bridge')).sort();
  const names = [...(own ? ['gateway'] : []), ...EXPECTED, ...others];
  return [
    broker,
    ...names.flatMap((name) => linesOfService(name, statuses.get(name))),
    ...[...refused].map(refusedLine),
    ...bridgeLines(statuses.get('ble-bridge')),
    ...forwarderLines(statuses.get('forwarder')),
  ];
}
