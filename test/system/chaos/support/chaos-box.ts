/** The product with everything that chaos can disturb: links, disks, processes, the stream; and what independent clients saw of it. */
import type { TestContext } from 'node:test';
import { connect } from 'mqtt';
import { Witness } from '../../crash/support/witness.ts';
import { mqttJsPublisher, type Publisher } from '../../planes/support/publishers.ts';
import { PASSWORD } from '../../planes/support/two-planes-box.ts';
import { DiskFaults } from '../../../support/disk-faults/disk-faults.ts';
import { smallDisk, type SmallDisk } from '../../../support/small-disk.ts';
import { TcpLink } from '../../../support/tcp-link.ts';
import { PARTS, ProductBox, type Part } from '../../support/product-box.ts';
import { StreamFollower } from '../../support/stream-follower.ts';

const DISK_BYTES = 128 * 1024 * 1024;
export const LINKS = ['bridge-broker', 'forwarder-broker', 'forwarder-stream', 'publisher-broker'] as const;
export type LinkName = (typeof LINKS)[number];

export interface ChaosBox {
  product: ProductBox;
  links: ReadonlyMap<LinkName, TcpLink>;
  faults: ReadonlyMap<Part, DiskFaults>;
  /** Undefined if a small disk cannot be mounted: then the preloaded library says that the disk is full. */
  disk: SmallDisk | undefined;
  witness: Witness;
  follower: StreamFollower;
  /** QoS 1. */
  publishers: readonly Publisher[];
  /** Publishes no new readings at QoS 0 either. */
  stopPublishing(): Promise<void>;
}

/** Publishes at QoS 0, with the time of the publish. */
function publishUnacknowledged(t: Pick<TestContext, 'after'>, port: number): () => void {
  const login = { username: 'app', password: PASSWORD };
  const client = connect(`mqtt://127.0.0.1:${port}`, { ...login, protocolVersion: 4, reconnectPeriod: 100, queueQoSZero: false });
  client.on('error', () => {});
  let lastMs = 0;
  const timer = setInterval(() => {
    if (!client.connected) return;
    lastMs = Math.max(Date.now(), lastMs + 1);
    const payload = JSON.stringify({ timestamp: new Date(lastMs).toISOString(), heart_rate: 77 });
    client.publish('hr/Rower/bpm', payload, { qos: 0 }, () => {});
  }, 50);
  const stop = (): void => {
    clearInterval(timer);
    client.end(true);
  };
  t.after(stop);
  return stop;
}

/** Undefined, and the test is skipped, if file operations cannot be made to fail on this machine. */
export async function startChaosBox(t: TestContext): Promise<ChaosBox | undefined> {
  const faults = new Map<Part, DiskFaults>();
  for (const part of PARTS) {
    const made = DiskFaults.make(t);
    if (made === undefined) return undefined;
    faults.set(part, made);
  }
  const disk = smallDisk(DISK_BYTES);
  const links = new Map<LinkName, TcpLink>();
  const portOf = (name: LinkName): string => String(links.get(name)?.port);
  const product = await ProductBox.make(t, {
    ...(disk === undefined ? {} : { folder: disk.folder }),
    rowMs: 20,
    users: { app: PASSWORD },
    environment: {
      MQTT_BROKER: 'own',
      OUTBOX_MEMORY: '400',
      QUEUE_MIN_FREE_DISK_BYTES: String(1024 * 1024),
      WATCHDOG_TIMEOUT_MS: '20000',
    },
    environmentOf: (part) => ({
      ...faults.get(part)?.environment,
      ...(part === 'ble-bridge' ? { MQTT_URL: `mqtt://127.0.0.1:${portOf('bridge-broker')}` } : {}),
      ...(part === 'forwarder'
        ? { MQTT_URL: `mqtt://127.0.0.1:${portOf('forwarder-broker')}`, LOCAL_KINESIS_PORT: portOf('forwarder-stream') }
        : {}),
    }),
  });
  for (const name of LINKS)
    links.set(name, await TcpLink.start(t, name === 'forwarder-stream' ? product.ports.stream : product.ports.mqtt));
  await product.startAll();
  const witness = new Witness(t, `mqtt://127.0.0.1:${product.ports.mqtt}`, (service) => product.keyOf(service));
  const follower = new StreamFollower(product.streamUrl);
  t.after(() => follower.close());
  const port = Number(portOf('publisher-broker'));
  const publishers = ['Bike1', 'Bike2'].map((device) => mqttJsPublisher(t, { port, user: 'app', device, rate: 30 }));
  const stopUnacknowledged = publishUnacknowledged(t, port);
  return {
    product,
    links,
    faults,
    disk,
    witness,
    follower,
    publishers,
    async stopPublishing() {
      stopUnacknowledged();
      await Promise.all(publishers.map(async (publisher) => await publisher.finish()));
    },
  };
}
