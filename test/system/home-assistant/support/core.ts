/** A real Home Assistant core for tests, with its MQTT integration on a broker, and what a person sees there. */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { cannotRun } from '../../../support/cannot-run.ts';
import { pythonWith } from '../../../support/python-venv.ts';
import { tempDir } from '../../../support/temp-dir.ts';

export interface Entity {
  entity_id: string;
  unique_id: string;
  category: string | null;
  state: string | null;
  attributes: Record<string, unknown>;
}
export interface Device {
  identifiers: string[];
  connections: string[][];
  name: string;
  manufacturer: string | null;
  model: string | null;
  firmware: string | null;
  via: string | null;
  entities: Entity[];
}

/** The newest core that runs on Python 3.11, and what its web server would need: it is imported, but not started. */
const PACKAGES = [
  'homeassistant==2024.3.3',
  'paho-mqtt==1.6.1',
  'aiohttp_cors==0.7.0',
  'aiohttp-fast-url-dispatcher==0.3.0',
  'aiohttp-zlib-ng==0.3.1',
  'janus==1.0.0',
];
const script = fileURLToPath(new URL('./core.py', import.meta.url));

/** Where and as whom Home Assistant connects. */
export interface BrokerLogin {
  host: string;
  port: number | string;
  user: string;
  password: string;
}

export class Core {
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;
  stderr = '';

  constructor(python: string, folder: string, { host, port, user, password }: BrokerLogin) {
    this.#process = spawn(python, [script, folder, host, String(port), user, password]);
    this.#process.stderr.on('data', (text: Buffer) => (this.stderr += text.toString()));
    this.#lines = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]();
  }

  /** What Home Assistant shows now. */
  async devices(): Promise<Device[]> {
    this.#process.stdin.write('\n');
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error(`Home Assistant ended: ${this.stderr.slice(-2000)}`);
    return (JSON.parse(value) as { devices: Device[] }).devices;
  }

  async device(identifier: string): Promise<Device | undefined> {
    return (await this.devices()).find(({ identifiers }) => identifiers.includes(identifier));
  }

  stop(): void {
    this.#process.kill('SIGKILL');
  }
}

/** Starts a core. Undefined, with a line, if this machine has no Python for it; an error with CI=true. */
export async function startCore(t: TestContext, broker: BrokerLogin): Promise<Core | undefined> {
  const python = await pythonWith('home-assistant', PACKAGES);
  if (python === undefined) {
    cannotRun(t, 'no Python with Home Assistant');
    return undefined;
  }
  const core = new Core(python, tempDir(t), broker);
  t.after(() => core.stop());
  return core;
}

/** The entity with this id within its device. */
export const entity = (device: Device | undefined, id: string): Entity | undefined => {
  const node = device?.identifiers[0]?.replace(/^hr-gateway_/, '');
  return device?.entities.find(({ unique_id }) => unique_id === `${node}_${id}`);
};
export const ids = (device: Device | undefined): string[][] =>
  (device?.entities ?? []).map(({ entity_id, unique_id }) => [entity_id, unique_id]);
