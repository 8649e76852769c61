/** Asks the running services, over MQTT: broker, every service's checks, queue. */
import type { ServiceStatus } from '../../contract/service-status.ts';
import { parseServiceStatus } from '../../contract/service-status.ts';
import { SERVICE_STATUS_FILTER } from '../../contract/topics.ts';
import { maskUrl, type Config } from '../../service/config.ts';
import type { Logger } from '../../service/log.ts';
import { MqttLink } from '../../service/mqtt-link.ts';
import { fail, ok, warn, type DoctorLine } from './check-line.ts';

const CONNECT_LIMIT_MS = 5000;
/** Retained statuses come right after the SUBACK. */
const RETAINED_WAIT_MS = 700;
const EXPECTED = ['ble-bridge', 'forwarder', 'admin-api'];

async function statuses(config: Config, log: Logger): Promise<Map<string, ServiceStatus> | undefined> {
  const heard = new Map<string, ServiceStatus>();
  const link = new MqttLink({
    service: 'admin-api',
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
        setTimeout(() => resolve(true), RETAINED_WAIT_MS);
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
  const bad = (status.checks ?? []).filter((check) => check.status !== 'ok');
  const worst = bad.find((check) => check.status === 'fail') ?? bad[0];
  if (worst === undefined) return ok(name, `online since ${status.since}, version ${status.version}`);
  return (worst.status === 'fail' ? fail : warn)(name, `${worst.name}: ${worst.reason}`, worst.hint);
}

function forwarderLines(status: ServiceStatus | undefined): DoctorLine[] {
  const forwarder = status?.forwarder;
  if (forwarder === undefined) return [];
  const lines = [ok('queue', `${forwarder.depth} readings, oldest ${Math.round(forwarder.oldest_age_seconds)} s, ${forwarder.bytes} bytes, ${forwarder.dead_letters} dead letters`)];
  const { state, reason, hint } = forwarder.uplink;
  if (state === 'ok') lines.push(ok('stream', `${forwarder.stream} on ${forwarder.target_name}, last shipped ${forwarder.last_shipped_at ?? 'never'}`));
  else lines.push((state === 'throttled' ? warn : fail)('stream', `${forwarder.stream} on ${forwarder.target_name}: ${state}: ${reason}`, hint));
  if (forwarder.clock_ahead_ms !== null && Math.abs(forwarder.clock_ahead_ms) > 5000) lines.push(warn('clock against the stream', `this box is ${forwarder.clock_ahead_ms} ms ahead`, 'Set the time (timedatectl set-ntp true).'));
  return lines;
}

/** Broker, services and queue; a broker that is away is one failing line. */
export async function serviceLines(config: Config, log: Logger): Promise<DoctorLine[]> {
  const heard = await statuses(config, log);
  const broker = maskUrl(config.MQTT_URL);
  if (heard === undefined) return [fail('broker', `${broker} does not answer, or refuses this box's key`, 'Start the services (npm start or docker compose up -d); in containers run the doctor there.')];
  return [ok('broker', broker), ...EXPECTED.map((name) => serviceLine(name, heard.get(name))), ...forwarderLines(heard.get('forwarder'))];
}
