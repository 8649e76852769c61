/**
 * The virtual radio of the tests: Bumble's LE controllers and heart-rate straps (hr_farm.py) in a Python environment of their own, and
 * the process environment that connects unmodified noble to them (hci-h4-socket.cjs). Without Python or its package index the suite is
 * skipped with one line, but fails if CI=true.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const root = fileURLToPath(new URL('../../..', import.meta.url));
const BUMBLE = 'bumble==0.0.236';
const cache = path.join(root, '.cache', 'virtual-radio');
const python = path.join(cache, 'bin', 'python');
const marker = path.join(cache, `.installed-${BUMBLE}`);

/** Creates the Python environment if it is missing. Returns why that failed, in one line, or undefined. */
function prepareEnvironment(): string | undefined {
  if (existsSync(marker)) return undefined;
  if (existsSync(python) && spawnSync(python, ['-c', 'import bumble.device'], { timeout: 60_000 }).status === 0) {
    writeFileSync(marker, '');
    return undefined;
  }
  const building = `${cache}.${process.pid}`;
  rmSync(building, { recursive: true, force: true });
  mkdirSync(path.dirname(cache), { recursive: true });
  for (const interpreter of ['python3.11', 'python3.12', 'python3.13', 'python3'])
    if (spawnSync(interpreter, ['-m', 'venv', '--copies', building], { timeout: 120_000 }).status === 0) {
      const pip = spawnSync(
        path.join(building, 'bin', 'python'),
        ['-m', 'pip', 'install', '-q', '--disable-pip-version-check', BUMBLE],
        { timeout: 300_000, encoding: 'utf8' },
      );
      if (pip.status !== 0) {
        rmSync(building, { recursive: true, force: true });
        return `${BUMBLE} cannot be installed: ${pip.stderr.trim().split('\n').at(-1) ?? 'no reason given'}`;
      }
      writeFileSync(path.join(building, path.basename(marker)), '');
      // If two test files do this at once, the first one wins.
      if (existsSync(marker)) rmSync(building, { recursive: true, force: true });
      else {
        rmSync(cache, { recursive: true, force: true });
        renameSync(building, cache);
      }
      return undefined;
    }
  return 'no Python 3 with venv';
}

let prepared: { missing: string | undefined } | undefined;

/**
 * Why the virtual radio cannot run, for `test(name, { skip: virtualRadioMissing() }, …)`; false if it can. Throws if CI=true, where
 * the suite must not be skipped.
 */
export function virtualRadioMissing(): string | false {
  prepared ??= { missing: prepareEnvironment() };
  if (prepared.missing === undefined) return false;
  if (process.env['CI'] === 'true') throw new Error(`the virtual radio is missing in CI: ${prepared.missing}`);
  return `the virtual radio is skipped: ${prepared.missing}`;
}

export interface FarmState {
  /** Connects refused because of the controller's link limit (fault `max_links`). */
  refusals: number;
  ext: { addr: string; scan: boolean; pending: boolean; conns: string[] }[];
  periph: Record<
    string,
    { adv: boolean; conns: number; resets: number; battery_reads: number; handles: { hrm: number; cccd: number } }
  >;
}

export interface StrapSpec {
  name?: string;
  bpm?: number;
  contact?: boolean | null;
  /** Seconds. */
  rr?: number[];
  /** null: no battery service. */
  battery?: number | null;
  /** Seconds between notifications; 0: only on request. */
  period?: number;
  /** Whether 0x180D is advertised. */
  adv_uuid?: boolean;
  loc?: number;
  /** False: no control point to reset the energy count. */
  energy?: boolean;
  battery_notifies?: boolean;
  /** The following are described in strap_behaviour.py. */
  address?: string;
  kind?: AdvertisementKind;
  accepts?: boolean;
  gatt_name?: string;
  adv?: string;
  scan_rsp?: string;
  adv_ms?: number;
  values?: readonly string[];
  repeat?: number;
  uuid128?: boolean;
  indicates?: boolean;
  force?: boolean;
  no_hrs?: boolean;
  decoy?: boolean;
  smp?: 'refuse' | 'silent';
  drops?: { afterS: number; reason: number };
  att?: readonly AttRule[];
}

/** Type of advertisements: connectable, scannable only, or neither. */
export type AdvertisementKind = 'ind' | 'scan' | 'nonconn';

/** How a virtual strap answers a request, in place of the usual answer (strap_behaviour.py, `Rules`). */
export interface AttRule {
  on: 'mtu' | 'services' | 'characteristics' | 'descriptors' | 'name' | 'cccd' | 'read' | 'write' | 'any';
  /** ATT error code. */
  error?: number;
  /** Hexadecimal. */
  answer?: string;
  silent?: boolean;
  ends?: boolean;
  /** Seconds. */
  delay?: number;
  times?: number;
  until?: 'encrypted';
  also?: readonly string[];
}

export class VirtualRadio {
  readonly hciPort: number;
  /** Takes the operations of `op`, one line of JSON each, from any process. */
  readonly controlPort: number;
  readonly #farm: ChildProcess;
  readonly #control: Socket;
  readonly #waiting: { resolve: (answer: Record<string, unknown>) => void; reject: (error: Error) => void }[] = [];

  constructor({ hciPort, controlPort }: { hciPort: number; controlPort: number }, control: Socket, farm: ChildProcess) {
    this.hciPort = hciPort;
    this.controlPort = controlPort;
    this.#farm = farm;
    this.#control = control;
    createInterface({ input: control }).on('line', (line) => {
      const answer = JSON.parse(line) as Record<string, unknown>;
      const waiting = this.#waiting.shift();
      if (answer['ok'] === true) waiting?.resolve(answer);
      else waiting?.reject(new Error(`virtual radio: ${String(answer['error'])}`));
    });
    control.on('close', () => {
      for (const { reject } of this.#waiting.splice(0)) reject(new Error('the virtual radio exited'));
    });
  }

  /** One operation of the control port (see hr_farm.py). */
  async op(op: string, fields: Record<string, unknown> = {}): Promise<Record<string, unknown>> {
    return await new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#control.write(`${JSON.stringify({ op, ...fields })}\n`);
    });
  }

  /** Adds a strap with address `c0:00:00:00:00:<id>`. */
  async add(id: number, spec: StrapSpec = {}): Promise<void> {
    await this.op('add', { id, ...spec });
  }

  /** Sends these bytes as a notification of 0x2A37. */
  async raw(id: number, bytes: Buffer): Promise<void> {
    await this.op('raw', { id, hex: bytes.toString('hex') });
  }

  /** Makes the adapters hang: present, but without answers. No operation is possible meanwhile. */
  hang(hanging: boolean): void {
    this.#farm.kill(hanging ? 'SIGSTOP' : 'SIGCONT');
  }

  async state(): Promise<FarmState> {
    return (await this.op('state')) as unknown as FarmState;
  }

  /** What a bridge process needs to use this radio as its adapter. `reconnectMs`: how long an unplugged adapter stays absent. */
  environment(options: { reconnectMs?: number } = {}): { environment: Record<string, string>; nodeArgs: string[] } {
    return {
      environment: {
        BLE_SOURCE: 'noble',
        NOBLE_HCI_H4: `127.0.0.1:${this.hciPort}`,
        NOBLE_HCI_H4_RECONNECT_MS: String(options.reconnectMs ?? 300),
      },
      nodeArgs: ['--require', path.join(here, 'hci-h4-socket.cjs')],
    };
  }
}

/** The address of a virtual strap. */
export const strapAddress = (id: number): string => `c0:00:00:00:00:${id.toString(16).padStart(2, '0')}`;

/** Starts a virtual radio; it is stopped after the test. Call `virtualRadioMissing()` first. */
export async function startVirtualRadio(t: Pick<TestContext, 'after'>): Promise<VirtualRadio> {
  const farm = spawn(python, [path.join(here, 'hr_farm.py'), '0', '0'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise<void>((resolve) => farm.once('exit', () => resolve()));
  t.after(async () => {
    if (farm.exitCode === null && farm.signalCode === null) farm.kill('SIGKILL');
    await ended;
  });
  const ports = await new Promise<[number, number]>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('the virtual radio was not ready within 60 s')), 60_000);
    farm.once('exit', (code) => reject(new Error(`the virtual radio exited with ${code}`)));
    createInterface({ input: farm.stdout }).on('line', (line) => {
      const match = /^READY (\d+) (\d+)$/.exec(line);
      if (match === null) return;
      clearTimeout(timer);
      resolve([Number(match[1]), Number(match[2])]);
    });
  });
  const control = connect(ports[1], '127.0.0.1');
  await new Promise<void>((resolve, reject) => {
    control.once('connect', resolve);
    control.once('error', reject);
  });
  t.after(() => control.destroy());
  return new VirtualRadio({ hciPort: ports[0], controlPort: ports[1] }, control, farm);
}
