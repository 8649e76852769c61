/**
 * Plain QoS 1 publishers as other people run them, with the defaults of their libraries. Each publishes readings with a timestamp of its
 * own and remembers for which it got a PUBACK.
 */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { connect } from 'mqtt';
import { eventually } from '../../../support/eventually.ts';
import { pythonWith } from '../../../support/python-venv.ts';
import { PASSWORD } from './two-planes-box.ts';

const run = promisify(execFile);

/** Publishes of one client that are not acknowledged; it waits beyond that. */
export const IN_FLIGHT_MAX = 20;

export interface PublisherOptions {
  port: number;
  user: string;
  device: string;
  /** Publishes a second, at most. */
  rate: number;
}

export interface Publisher {
  /** `<device> <timestamp>` of what was acknowledged. */
  readonly acknowledged: ReadonlySet<string>;
  /** How many readings were published, each counted once. */
  readonly published: number;
  /** Published and not acknowledged. */
  readonly inFlight: number;
  /** Milliseconds from publish to PUBACK, if the publisher measures them. */
  readonly latenciesMs: readonly number[];
  /** Publishes nothing new; resolves when everything is acknowledged. */
  finish(): Promise<void>;
}

const START_MS = 1_790_000_000_000;
const timestampOf = (index: number): string => new Date(START_MS + index).toISOString();
const payloadOf = (timestamp: string): string => JSON.stringify({ timestamp, heart_rate: 72 });
const FINISH_LIMIT_MS = 120_000;

/** MQTT.js with its default store. */
export function mqttJsPublisher(t: Pick<TestContext, 'after'>, { port, user, device, rate }: PublisherOptions): Publisher {
  const acknowledged = new Set<string>();
  const latenciesMs: number[] = [];
  let published = 0;
  // While it sends its store again after a broken connection, MQTT.js fails new publishes if that connection breaks as well.
  let failed = 0;
  const settled = (): number => acknowledged.size + failed;
  const client = connect(`mqtt://127.0.0.1:${port}`, {
    username: user,
    password: PASSWORD,
    clientId: `js-${device}`,
    protocolVersion: 4,
    reconnectPeriod: 100,
    connectTimeout: 2000,
  });
  client.on('error', () => {});
  const startedAt = performance.now();
  const timer = setInterval(() => {
    // Behind the rate after a pause, it does not catch up at once.
    const due = Math.min(((performance.now() - startedAt) * rate) / 1000 - published, 5);
    for (let count = 0; count < due && client.connected && published - settled() < IN_FLIGHT_MAX; count += 1) {
      published += 1;
      const timestamp = timestampOf(published);
      const sentAt = performance.now();
      client.publish(`hr/${device}/bpm`, payloadOf(timestamp), { qos: 1 }, (error) => {
        if (error instanceof Error) return void (failed += 1);
        acknowledged.add(`${device} ${timestamp}`);
        latenciesMs.push(performance.now() - sentAt);
      });
    }
  }, 5);
  t.after(() => {
    clearInterval(timer);
    client.end(true);
  });
  return {
    acknowledged,
    latenciesMs,
    get published() {
      return published;
    },
    get inFlight() {
      return published - settled();
    },
    async finish() {
      clearInterval(timer);
      await eventually(() => settled() === published, { withinMs: FINISH_LIMIT_MS, what: `PUBACKs of ${device}` });
    },
  };
}

/**
 * What it publishes and what is acknowledged goes to stdout, one line each. Two threads report: the main thread publishes, paho's own
 * thread gets the PUBACKs. `print` writes its parts one by one, so that without the lock the lines of both mix.
 */
const PAHO = `
import datetime, json, sys, threading, time
import paho.mqtt.client as mqtt
port, user, password, device, rate, in_flight = sys.argv[1:]
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="py-" + device)
client.username_pw_set(user, password)
client.reconnect_delay_set(1, 1)
client.max_inflight_messages_set(int(in_flight))
sent, early, lock = {}, set(), threading.Lock()
def report(what, stamp):
    sys.stdout.write(what + " " + stamp + "\\n")
    sys.stdout.flush()
def acknowledge(mid):
    report("ack", sent.pop(mid))
def on_publish(client, userdata, mid, reason, properties):
    with lock:
        acknowledge(mid) if mid in sent else early.add(mid)
client.on_publish = on_publish
client.connect("127.0.0.1", int(port))
client.loop_start()
stopping = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), stopping.set()), daemon=True).start()
count = 0
while not stopping.is_set():
    if client.is_connected() and len(sent) < int(in_flight):
        count += 1
        at = datetime.datetime.fromtimestamp(${START_MS / 1000} + count / 1000, datetime.timezone.utc)
        stamp = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        with lock:
            report("pub", stamp)
        info = client.publish("hr/" + device + "/bpm", json.dumps({"timestamp": stamp, "heart_rate": 72}), qos=1)
        with lock:
            sent[info.mid] = stamp
            if info.mid in early:
                early.discard(info.mid)
                acknowledge(info.mid)
    time.sleep(1 / float(rate))
while sent:
    time.sleep(0.05)
`;

const REPORT_LINE = /^(pub|ack) (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)$/;

/** Python's paho, or undefined if it cannot be installed. */
export async function pahoPublisher(t: Pick<TestContext, 'after'>, options: PublisherOptions): Promise<Publisher | undefined> {
  const python = await pythonWith('paho', ['paho-mqtt==2.1.0']);
  if (python === undefined) return undefined;
  const { port, user, device, rate } = options;
  const args = ['-c', PAHO, ...[port, user, PASSWORD, device, rate, IN_FLIGHT_MAX].map(String)];
  const child = spawn(python, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const acknowledged = new Set<string>();
  const unreadable: string[] = [];
  let published = 0;
  const lines = createInterface({ input: child.stdout });
  lines.on('line', (line) => {
    const [, what, timestamp = ''] = REPORT_LINE.exec(line) ?? [];
    if (what === 'ack') acknowledged.add(`${device} ${timestamp}`);
    else if (what === 'pub') published += 1;
    else unreadable.push(line);
  });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const reported = new Promise<void>((resolve) => lines.once('close', () => resolve()));
  t.after(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  return {
    acknowledged,
    latenciesMs: [],
    get published() {
      return published;
    },
    get inFlight() {
      return published - acknowledged.size;
    },
    async finish() {
      child.stdin.end();
      await eventually(() => child.exitCode !== null || child.signalCode !== null, {
        withinMs: FINISH_LIMIT_MS,
        what: `PUBACKs of ${device}`,
      });
      await reported;
      assert.deepEqual(unreadable, [], `lines of ${device} that are no report`);
      assert.equal(child.exitCode, 0, `${device} exits without a signal`);
      assert.equal(acknowledged.size, published, `PUBACKs of ${device}`);
    },
  };
}

/** mosquitto_pub, one process a reading, as a cron job runs it: exit code 0 is its PUBACK. Undefined if it is not installed. */
export async function mosquittoPublisher(
  t: Pick<TestContext, 'after'>,
  { port, user, device, rate }: PublisherOptions,
): Promise<Publisher | undefined> {
  if ((await run('which', ['mosquitto_pub']).catch(() => undefined)) === undefined) return undefined;
  const acknowledged = new Set<string>();
  let inFlight = 0;
  let published = 0;
  const finishing = new AbortController();
  const login = ['-h', '127.0.0.1', '-p', String(port), '-u', user, '-P', PASSWORD, '-q', '1'];
  const publishing = (async (): Promise<void> => {
    while (!finishing.signal.aborted) {
      published += 1;
      inFlight = 1;
      const timestamp = timestampOf(published);
      const outcome = await run('mosquitto_pub', [...login, '-t', `hr/${device}/bpm`, '-m', payloadOf(timestamp)], {
        timeout: 20_000,
      }).catch(() => undefined);
      inFlight = 0;
      if (outcome !== undefined) acknowledged.add(`${device} ${timestamp}`);
      await sleep(1000 / rate);
    }
  })();
  const finish = async (): Promise<void> => {
    finishing.abort();
    await publishing;
  };
  t.after(finish);
  return {
    acknowledged,
    latenciesMs: [],
    get published() {
      return published;
    },
    get inFlight() {
      return inFlight;
    },
    finish,
  };
}
