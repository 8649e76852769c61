/**
 * Whether the broker is this box's own gateway or another broker: the only place that decides it. `npm start`, the doctor and the health
 * of the box all ask here.
 */
import { hostToConnect, isLoopback } from './addresses.ts';
import { parseBrokerUrl } from './broker-url.ts';
import { isSet, type Config } from '../config/config.ts';

export interface BrokerChoice {
  kind: 'own' | 'external';
  /** True if MQTT_BROKER is not set and the broker is taken for external because of MQTT_URL alone. */
  assumed: boolean;
}

/** The service name of the gateway in docker-compose.yml. */
const COMPOSE_GATEWAY = 'gateway';

/**
 * MQTT_BROKER decides. 1.0.0 did not have it: while it is unset, a broker is external if MQTT_URL has credentials (our own gateway needs
 * none: services log in by their keys) or names a host that cannot be our gateway.
 */
export function brokerOf(config: Pick<Config, 'MQTT_BROKER' | 'MQTT_URL'>): BrokerChoice {
  if (config.MQTT_BROKER !== undefined) return { kind: config.MQTT_BROKER, assumed: false };
  const { username, hostname } = parseBrokerUrl(config.MQTT_URL);
  const external = username !== undefined || !(isLoopback(hostname) || hostname === COMPOSE_GATEWAY);
  return { kind: external ? 'external' : 'own', assumed: external };
}

/**
 * The gateways whose readings this box's forwarder takes: names, its own first, or `*` alone for every gateway. The admin API shows
 * the bridges of these gateways.
 */
export function servedGateways(
  config: Pick<Config, 'MQTT_BROKER' | 'MQTT_URL' | 'FORWARDER_GATEWAYS'>,
  gateway: string,
): readonly string[] {
  const { FORWARDER_GATEWAYS: chosen } = config;
  const others = chosen.length === 0 && brokerOf(config).kind === 'own' ? ['*'] : chosen;
  return others.includes('*') ? ['*'] : [...new Set([gateway, ...others])];
}

/** True if a forwarder that serves `gateways` serves this one. */
export const serves = (gateways: readonly string[], gateway: string): boolean =>
  gateways.includes('*') || gateways.includes(gateway);

/**
 * As `brokerOf`, for `npm start`, which starts the gateway itself: there 1.0.0 used whatever broker MQTT_URL named, on loopback too, and
 * started no gateway.
 */
export function brokerOfAllInOne(config: Pick<Config, 'MQTT_BROKER' | 'MQTT_URL'>): BrokerChoice {
  if (config.MQTT_BROKER === undefined && isSet('MQTT_URL')) return { kind: 'external', assumed: true };
  return brokerOf(config);
}

/**
 * Where the services look for the gateway of this box if nothing answers at MQTT_SERVICES_PORT: its ordinary listener, on which their keys
 * work too. Undefined if MQTT_URL names the broker.
 */
export function ordinaryBrokerUrl(
  config: Pick<Config, 'MQTT_URL' | 'MQTT_SERVICES_HOST' | 'MQTT_SERVICES_PORT' | 'MQTT_LISTEN_HOST' | 'MQTT_LISTEN_PORT'>,
): string | undefined {
  const { MQTT_URL: url, MQTT_LISTEN_PORT: port } = config;
  const isDefault = url === `mqtt://${hostToConnect(config.MQTT_SERVICES_HOST)}:${config.MQTT_SERVICES_PORT}`;
  return isDefault && port > 0 ? `mqtt://${hostToConnect(config.MQTT_LISTEN_HOST)}:${port}` : undefined;
}
