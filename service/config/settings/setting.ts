/** What a setting is: its type, default and bounds, who uses it, and its line in docs/settings.md. */
import type { ServiceName } from '../../../contract/topics.ts';

interface Row {
  /** What the setting does and when a user would change it; becomes a line of docs/settings.md. */
  doc: string;
  usedBy: readonly (ServiceName | 'start')[];
}

export type Setting = Row &
  (
    | { type: 'text'; default: string | undefined; pattern?: RegExp; must?: string }
    | { type: 'secret'; default: undefined }
    | { type: 'integer' | 'number'; default: number; min: number; max: number }
    | { type: 'bytes'; default: number; min: number; max: number }
    | { type: 'boolean'; default: boolean }
    | { type: 'choice'; default: string | undefined; choices: readonly string[] }
    | { type: 'list'; default: readonly string[]; pattern?: RegExp; must?: string }
  );

export const ALL_SERVICES = ['gateway', 'ble-bridge', 'forwarder', 'admin-api', 'local-kinesis'] as const;
/** The services that connect to the broker over MQTT. */
export const MQTT_CLIENTS = ['ble-bridge', 'forwarder', 'admin-api'] as const;
export const KiB = 1024;
export const MiB = 1024 * KiB;
