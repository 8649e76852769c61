/**
 * Every setting of the product, in the order of docs/settings.md. A setting exists only if some user needs another value than the
 * default; anything else is a constant. Read settings through service/config/config.ts only.
 */
import { ADMIN_SETTINGS } from './settings/admin.ts';
import { BOX_SETTINGS, PROCESS_SETTINGS } from './settings/box.ts';
import { MQTT_SETTINGS } from './settings/mqtt.ts';
import { STORAGE_SETTINGS } from './settings/storage.ts';
import { STRAP_SETTINGS } from './settings/straps.ts';
import { STREAM_SETTINGS } from './settings/stream.ts';

export type { Setting } from './settings/setting.ts';

/** Prefixes of our settings. A variable with one of them that is not a setting is refused. */
export const PREFIXES = [
  'GATEWAY_',
  'DATA_',
  'MQTT_',
  'ADMIN_',
  'LOCAL_',
  'FORWARDER_',
  'KINESIS_',
  'BLE_',
  'REPLAY_',
  'SIMULATED_',
  'QUEUE_',
  'OUTBOX_',
  'AUDIT_',
  'LOG_',
  'ALLOW_',
  'UPLINK_',
  'WATCHDOG_',
] as const;

export const SETTINGS = {
  ...BOX_SETTINGS,
  ...MQTT_SETTINGS,
  ...ADMIN_SETTINGS,
  ...STREAM_SETTINGS,
  ...STRAP_SETTINGS,
  ...STORAGE_SETTINGS,
  ...PROCESS_SETTINGS,
};

export type SettingName = keyof typeof SETTINGS;
