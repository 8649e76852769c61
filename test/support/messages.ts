/** Complete, valid messages of the contract, as our services publish them; tests change what they are about. */
import type { BridgeStatus } from '../../contract/bridge-status.ts';
import type { DeviceStatus, Gap } from '../../contract/device-status.ts';
import type { ForwarderStatus } from '../../contract/forwarder-status.ts';
import type { GatewayStatus } from '../../contract/gateway-status.ts';
import type { MetricsMessage } from '../../contract/metrics.ts';
import type { Reading } from '../../contract/reading.ts';
import type { ServiceStatus } from '../../contract/service-status.ts';

const now = (): string => new Date().toISOString();

export const forwarderStatus = (changes: Partial<ForwarderStatus> = {}): ForwarderStatus => ({
  target: 'local',
  target_name: 'local stream on 127.0.0.1:4567',
  stream: 'heart-rate',
  mode: 'records',
  depth: 0,
  bytes: 4096,
  oldest_age_seconds: 0,
  dead_letters: 0,
  ledger: { accepted: 0, shipped: 0, queued: 0, dead: 0, evicted: 0, missed: 0 },
  causes: { evicted: {}, missed: { outbox_full: 2 }, dead: {} },
  duplicates: 0,
  uplink: { state: 'ok', reason: '', hint: '', since: now() },
  commit_interval_ms: 100,
  clock_ahead_ms: null,
  last_shipped_at: null,
  ...changes,
});

export const bridgeStatus = (changes: Partial<BridgeStatus> = {}): BridgeStatus => ({
  source: 'noble',
  run: '3f9a1c2e00b7d415',
  radio: {
    adapter: 'hci0',
    state: 'powered_on',
    advertisements_per_minute: 100,
    connects: 3,
    disconnects: { 'timed out': 1 },
    reconnect_ms_p50: 1200,
    reconnect_ms_p95: 3000,
    straps_limit: null,
  },
  outbox: { held: 0, spilled: 0, spill_bytes: 0, dropped: 0, last_seq: 10, stored_seq: 10 },
  ...changes,
});

export const gatewayStatus = (changes: Partial<GatewayStatus> = {}): GatewayStatus => ({
  clients: 3,
  listeners: ['mqtt://127.0.0.1:1883'],
  breaches: { packet_size: 1 },
  messages_in: 10,
  messages_out: 20,
  ...changes,
});

const DETAILS = {
  forwarder: () => ({ forwarder: forwarderStatus() }),
  'ble-bridge': () => ({ bridge: bridgeStatus() }),
  gateway: () => ({ gateway: gatewayStatus() }),
  'admin-api': () => ({}),
  'local-kinesis': () => ({}),
} as const;

/** The status of an online service with its details and two checks. */
export const serviceStatus = (service: ServiceStatus['service'], changes: Partial<ServiceStatus> = {}): ServiceStatus => ({
  service,
  state: 'online',
  since: now(),
  version: '1.0.0',
  pid: 1,
  as_of: now(),
  checks: [
    { name: 'clock', status: 'ok', since: now(), code: '', reason: '', hint: '' },
    { name: 'queue', status: 'fail', since: now(), code: 'queue_full', reason: 'QUEUE_MAX_BYTES is reached', hint: 'Wait.' },
  ],
  ...DETAILS[service](),
  ...changes,
});

export const deviceStatus = (device: string, changes: Partial<DeviceStatus> = {}): DeviceStatus => ({
  device,
  state: 'streaming',
  since: now(),
  name: 'Polar H10 12345678',
  address: 'a0:9e:1a:00:00:01',
  battery_percent: 80,
  battery_low: false,
  rssi: -60,
  manufacturer: 'Polar',
  model: 'H10',
  firmware: '5.0.0',
  body_sensor_location: 'chest',
  last_reading_at: now(),
  readings: 12,
  reconnects: 1,
  source: 'noble',
  adapter_state: 'powered_on',
  advertisements_per_minute: 60,
  connects: 2,
  disconnects: { 'timed out': 1 },
  reconnect_ms_p50: 1200,
  reconnect_ms_p95: null,
  ...changes,
});

export const gap = (): Gap => ({ from: now(), to: now(), cause: 'out_of_range', readings: 3 });

export const metricsMessage = (service: MetricsMessage['service']): MetricsMessage => ({
  service,
  as_of: now(),
  metrics: [
    { name: 'hr_gateway_test_total', help: 'A counter', type: 'counter', values: [{ labels: { cause: 'test' }, value: 3 }] },
    { name: 'hr_gateway_test_seconds', help: 'A histogram', type: 'histogram', bounds: [0.1, 1], counts: [1, 2, 3], sum: 4.5 },
  ],
});

export const reading = (device: string, changes: Partial<Reading> = {}): Reading => ({
  timestamp: now(),
  heart_rate: 72,
  device,
  gateway: 'test-box',
  run: '3f9a1c2e00b7d415',
  seq: 1,
  rr_intervals_ms: [812.5],
  sensor_contact: true,
  energy_expended_kj: null,
  clock: 'synced',
  ...changes,
});
