/**
 * Settings of earlier 1.x releases that no longer exist. A box that is updated unattended must start with its old .env file: these
 * names are accepted in every 1.x release, have no effect, and are named in one WARN line at start.
 */
import { isSetIn, type Environment } from './environment.ts';

/** What applies instead of each removed setting. */
export const REMOVED_SETTINGS: Readonly<Record<string, string>> = {
  MQTT_MAX_CONNECTIONS_PER_ADDRESS: 'always 60 % of MQTT_MAX_CONNECTIONS',
  MQTT_MAX_SUBSCRIPTIONS: 'always 100 per client',
  MQTT_MAX_TOPIC_BYTES: 'always 256',
  MQTT_MAX_TOPIC_LEVELS: 'always 16',
  MQTT_MAX_RETAINED: 'always 5000; MQTT_MAX_RETAINED_BYTES limits their size',
  MQTT_MAX_WILL_BYTES: 'always 16 KiB',
  MQTT_MAX_BACKLOG_BYTES: 'always 8 MiB; MQTT_SLOW_SUBSCRIBER_MS limits the wait',
  MQTT_CONNECT_TIMEOUT_MS: 'always 5 s',
  KINESIS_AGGREGATE_BYTES: 'always 25 KiB, one PUT unit',
  BLE_RECOVERY_STEP_MS: 'always 15 s',
};

/** Names of removed settings that an environment still sets, in alphabetical order. */
export function removedSettingsIn(environment: Environment): string[] {
  return Object.keys(REMOVED_SETTINGS)
    .filter((name) => isSetIn(environment, name))
    .sort();
}
