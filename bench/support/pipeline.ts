/** The product in a benchmark: one process, or one per service, with a scratch folder and free ports, into a null stream. */
import { startHelper, startProduct, type Child } from './child.ts';
import type { Scratch } from './scratch.ts';

export interface NullStream {
  child: Child;
  endpoint: string;
  counts(): Promise<StreamCounts>;
}

export interface StreamCounts {
  requests: number;
  records: number;
  /** Readings in those records. */
  readings: number;
  bytes: number;
  units: number;
}

export async function startNullStream(scratch: Scratch, latencyMs = 0): Promise<NullStream> {
  const child = startHelper(scratch, 'support/null-stream.ts', { LATENCY_MS: String(latencyMs) });
  const { port } = await child.line(({ event }) => event === 'listening');
  const endpoint = `http://127.0.0.1:${String(port)}`;
  return { child, endpoint, counts: async () => (await (await fetch(endpoint)).json()) as StreamCounts };
}

/** Settings for a forwarder that ships to this endpoint. */
export const intoStream = (endpoint: string): Record<string, string> => ({
  KINESIS_TARGET: endpoint,
  AWS_REGION: 'us-east-1',
  AWS_ACCESS_KEY_ID: 'bench',
  AWS_SECRET_ACCESS_KEY: 'bench',
  ALLOW_TEST_READINGS: 'true',
});

/** A target that refuses connections: accepted readings stay queued. */
export const UPLINK_AWAY = intoStream('http://127.0.0.1:9');

export interface Pipeline {
  dataDir: string;
  mqttUrl: string;
  /** By service name; `start` for the single process. */
  processes: Record<string, Child>;
}

function common(dataDir: string): Record<string, string> {
  return {
    DATA_DIR: dataDir,
    GATEWAY_NAME: 'bench',
    MQTT_LISTEN_PORT: '0',
    MQTT_LISTEN_WS_PORT: '0',
    ADMIN_PORT: '0',
    LOCAL_KINESIS_PORT: '0',
  };
}

/** Starts the gateway and the given services (default: the forwarder) in separate processes. */
export async function startSeparate(
  scratch: Scratch,
  settings: Record<string, string>,
  services: readonly string[] = ['forwarder'],
): Promise<Pipeline> {
  const dataDir = settings['DATA_DIR'] ?? scratch.folder();
  const environment = { ...common(dataDir), ...settings };
  const gateway = startProduct(scratch, 'gateway/main', environment);
  const { port } = await gateway.line(({ event }) => event === 'listening');
  const mqttUrl = `mqtt://127.0.0.1:${String(port)}`;
  const processes: Record<string, Child> = { gateway };
  for (const service of services) {
    const child = startProduct(scratch, `${service}/main`, { ...environment, MQTT_URL: mqttUrl });
    processes[service] = child;
    await child.line(({ event }) => event === 'started');
  }
  return { dataDir, mqttUrl, processes };
}

/** Starts all services in one process, as `npm start` does. */
export async function startOneProcess(scratch: Scratch, settings: Record<string, string>): Promise<Pipeline> {
  const dataDir = scratch.folder();
  const child = startProduct(scratch, 'start', {
    ...common(dataDir),
    BLE_SOURCE: 'simulated',
    SIMULATED_STRAPS: '1',
    ...settings,
  });
  const { port } = await child.line(({ event, service }) => event === 'listening' && service === 'gateway');
  await child.line(({ event, service }) => event === 'started' && service === 'hr-gateway');
  return { dataDir, mqttUrl: `mqtt://127.0.0.1:${String(port)}`, processes: { start: child } };
}
