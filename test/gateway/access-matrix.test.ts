/**
 * The access matrix: client × action × listener, every cell. "beyond" is a listener on all interfaces: the broker decides by the address
 * that it listens on, so the test may connect to it over 127.0.0.1.
 */
import assert from 'node:assert/strict';
import { describe, test, type TestContext } from 'node:test';
import { SERVICE_NAMES, type ServiceName } from '../../contract/topics.ts';
import { startGateway, type TestGateway } from './support/gateway.ts';
import { connected, rawClient, type ConnectFields, type RawClient } from './support/raw-client.ts';

const PASSWORD = 'correct horse battery';
const USERS = {
  anna: { password: PASSWORD, subscribe: ['hr/+/bpm'] },
  // A right as 1.0.0 granted it.
  app: { password: PASSWORD, subscribe: ['hr/#', 'edge/+/status'], publish: ['hr/phone/bpm'] },
};
/** The bridge of a second box, named box. */
const BRIDGES = { box: { password: PASSWORD, bridge: 'box' } };
/** Who looks at everything, with MQTT Explorer for example. */
const OPERATORS = { ops: { password: PASSWORD, operator: true } } as const;

/** One topic of each kind. */
const TOPICS = {
  bpm: 'hr/polar/bpm',
  phone: 'hr/phone/bpm',
  status: 'hr/polar/status',
  gap: 'hr/polar/gap',
  serviceStatus: 'edge/test-box/forwarder/status',
  bridgeStatus: 'edge/test-box/ble-bridge/status',
  streamStatus: 'edge/test-box/local-kinesis/status',
  metrics: 'edge/test-box/forwarder/metrics',
  gatewayMetrics: 'edge/test-box/gateway/metrics',
  otherStatus: 'edge/box/ble-bridge/status',
  version1Status: 'edge/forwarder/status',
  version1BridgeStatus: 'edge/ble-bridge/status',
  source: 'edge/source/0123456789abcdef',
  resend: 'edge/resend/0123456789abcdef',
  stored: 'edge/test-box/stored/0123456789abcdef',
  offer: 'edge/test-box/offer/0123456789abcdef',
  delivered: 'edge/test-box/readings/0123456789abcdef',
  otherStored: 'edge/box/stored/0123456789abcdef',
  otherOffer: 'edge/box/offer/0123456789abcdef',
  otherDelivered: 'edge/box/readings/0123456789abcdef',
  version1Stored: 'edge/stored/0123456789abcdef',
  sync: 'edge/sync',
  request: 'edge/test-box/forwarder/request/backup',
  response: 'edge/test-box/forwarder/response/1',
  discovery: 'homeassistant/sensor/x/config',
  strapDiscovery: 'homeassistant/sensor/box_polar/heart_rate/config',
  boxDiscovery: 'homeassistant/sensor/test-box/uplink/config',
  person: 'edge/test-box/person/polar',
  otherPerson: 'edge/box/person/polar',
  foreign: 'elsewhere/x',
  broker: '$SYS/x/new/clients',
} as const;
type Topic = keyof typeof TOPICS;
const ALL = Object.keys(TOPICS) as Topic[];

/** Filters that match many topics. */
const FILTERS = [
  '#',
  '+/+/+',
  'hr/#',
  'edge/#',
  'edge/+/status',
  'edge/+/+/status',
  'edge/+/stored/+',
  '$SYS/#',
  'edge/+/person/+',
  'homeassistant/#',
  'hr/+/bpm',
] as const;

interface Expected {
  connects: { loopback: boolean; beyond: boolean };
  publishes: readonly Topic[];
  subscribes: readonly Topic[];
  filters: readonly (typeof FILTERS)[number][];
}

const STATUSES: readonly Topic[] = ['serviceStatus', 'bridgeStatus', 'streamStatus', 'otherStatus'];
/** May have the names of people. */
const DISCOVERY: readonly Topic[] = ['discovery', 'strapDiscovery', 'boxDiscovery'];
const VERSION_1_STATUSES: readonly Topic[] = ['version1Status', 'version1BridgeStatus'];
const READS: readonly Topic[] = ['bpm', 'phone', 'status', 'gap', ...STATUSES];
const both = { loopback: true, beyond: true };
const nothing = { publishes: [], subscribes: [], filters: [] };
const EXPECTED: Record<string, Expected> = {
  anonymous: {
    connects: { loopback: true, beyond: false },
    publishes: [],
    subscribes: READS,
    filters: ['hr/#', 'edge/+/+/status', 'hr/+/bpm'],
  },
  anna: { connects: both, publishes: [], subscribes: ['bpm', 'phone'], filters: ['hr/+/bpm'] },
  app: {
    connects: both,
    publishes: ['phone'],
    subscribes: ['bpm', 'phone', 'status', 'gap', ...STATUSES, ...VERSION_1_STATUSES],
    filters: ['hr/#', 'edge/+/status', 'edge/+/+/status', 'hr/+/bpm'],
  },
  box: {
    connects: both,
    publishes: ['bpm', 'phone', 'status', 'gap', 'otherStatus', 'otherOffer', 'otherDelivered', 'otherPerson', ...DISCOVERY],
    subscribes: ['status', ...STATUSES, 'otherStored', 'sync', 'otherPerson', ...DISCOVERY],
    filters: ['edge/+/+/status', 'homeassistant/#'],
  },
  ops: { connects: both, publishes: [], subscribes: ALL, filters: FILTERS },
  gateway: { connects: both, publishes: ['gatewayMetrics'], subscribes: [], filters: [] },
  'ble-bridge': {
    connects: both,
    publishes: [
      'bpm',
      'phone',
      'status',
      'gap',
      'bridgeStatus',
      'offer',
      'delivered',
      'otherOffer',
      'otherDelivered',
      'version1BridgeStatus',
      'source',
      'resend',
      'person',
      ...DISCOVERY,
    ],
    subscribes: [
      'status',
      ...STATUSES,
      ...VERSION_1_STATUSES,
      'stored',
      'otherStored',
      'version1Stored',
      'sync',
      'person',
      ...DISCOVERY,
    ],
    filters: ['edge/+/status', 'edge/+/+/status', 'edge/+/stored/+', 'homeassistant/#'],
  },
  forwarder: {
    connects: both,
    publishes: [
      'gap',
      'serviceStatus',
      'metrics',
      'stored',
      'otherStored',
      'sync',
      'response',
      'boxDiscovery',
      ...VERSION_1_STATUSES,
    ],
    subscribes: [
      'bpm',
      'gap',
      'phone',
      ...STATUSES,
      ...VERSION_1_STATUSES,
      'offer',
      'delivered',
      'otherOffer',
      'otherDelivered',
      'sync',
      'source',
      'request',
    ],
    filters: ['edge/+/status', 'edge/+/+/status', 'hr/+/bpm'],
  },
  'admin-api': {
    connects: both,
    publishes: ['request'],
    subscribes: [...READS, 'metrics', 'gatewayMetrics', 'response', 'person', 'otherPerson', ...DISCOVERY],
    filters: ['hr/#', 'edge/+/+/status', 'edge/+/person/+', 'homeassistant/#', 'hr/+/bpm'],
  },
  'local-kinesis': { connects: both, publishes: ['streamStatus'], subscribes: [], filters: [] },
  'wrong password': { connects: { loopback: false, beyond: false }, ...nothing },
  'wrong service key': { connects: { loopback: false, beyond: false }, ...nothing },
  'unknown name': { connects: { loopback: false, beyond: false }, ...nothing },
  'name without password': { connects: { loopback: false, beyond: false }, ...nothing },
};

/** A user's readings are adopted: they are neither retained nor left as a will. */
const isAdopted = (who: string, topic: Topic): boolean => who in USERS && TOPICS[topic].startsWith('hr/');

function credentials(who: string, gateway: TestGateway): ConnectFields {
  const withPassword = (username: string, password: string): ConnectFields => ({ username, password: Buffer.from(password) });
  if (who === 'anonymous') return {};
  if (SERVICE_NAMES.some((name) => name === who)) return withPassword(who, gateway.keyOf(who as ServiceName));
  if (who in USERS || who in BRIDGES || who in OPERATORS) return withPassword(who, PASSWORD);
  if (who === 'wrong password') return withPassword('anna', `${PASSWORD}!`);
  if (who === 'wrong service key') return withPassword('forwarder', gateway.keyOf('admin-api'));
  if (who === 'unknown name') return withPassword('nobody', PASSWORD);
  return { username: 'anna' };
}

for (const where of ['loopback', 'beyond'] as const)
  describe(`access on a listener ${where === 'loopback' ? 'on loopback' : 'beyond loopback'}`, { concurrency: true }, () => {
    const ready = async (t: TestContext): Promise<TestGateway> =>
      await startGateway(t, where === 'beyond' ? { MQTT_LISTEN_HOST: '0.0.0.0' } : {}, { ...USERS, ...BRIDGES, ...OPERATORS });

    for (const [who, expected] of Object.entries(EXPECTED))
      test(`${who}: connect, publish, retain, subscribe and will are as granted, cell by cell`, async (t) => {
        const gateway = await ready(t);
        const port = gateway.ports.mqtt;
        const as = credentials(who, gateway);
        const first = await rawClient(t, port);
        const code = await first.connect(as);
        assert.equal(code, expected.connects[where] ? 0 : 5, 'connect');
        if (code !== 0) {
          await first.ended();
          // A client that is refused cannot leave a will either.
          const withWill = await rawClient(t, port);
          assert.equal(
            await withWill.connect({ ...as, will: { topic: TOPICS.bpm, payload: Buffer.from('w'), qos: 0, retain: true } }),
            5,
            'will',
          );
          assert.equal(gateway.service.breaches['login'], 2);
          return;
        }

        for (const topic of ALL)
          assert.equal(await first.subscribe(TOPICS[topic]), expected.subscribes.includes(topic) ? 0 : 128, `subscribe ${topic}`);
        for (const filter of FILTERS)
          assert.equal(await first.subscribe(filter), expected.filters.includes(filter) ? 0 : 128, `subscribe ${filter}`);

        // These services together may read everything: they would receive a retained message that got through.
        const watcher = await connected(t, port, credentials('admin-api', gateway));
        const bridge = await connected(t, port, credentials('ble-bridge', gateway));
        const forwarder = await connected(t, port, credentials('forwarder', gateway));
        for (const retain of [false, true])
          for (const topic of ALL) {
            const client = await connected(t, port, as);
            assert.equal(
              await client.publishAcknowledged(TOPICS[topic], `m-${topic}`, retain),
              expected.publishes.includes(topic),
              `${retain ? 'retain' : 'publish'} ${topic}`,
            );
            client.destroy();
          }
        for (const topic of ALL) {
          const client: RawClient = await rawClient(t, port);
          const allowed = expected.publishes.includes(topic) && !isAdopted(who, topic);
          assert.equal(
            await client.connect({
              ...as,
              will: { topic: TOPICS[topic], payload: Buffer.from(`w-${topic}`), qos: 1, retain: true },
            }),
            allowed ? 0 : 5,
            `will ${topic}`,
          );
          client.destroy();
        }
        // What is retained now was left by the wills of clients that were accepted.
        for (const [client, filters] of [
          [watcher, ['hr/#', 'edge/+/+/status', 'edge/+/+/metrics', 'edge/+/+/response/+', 'edge/+/person/+', 'homeassistant/#']],
          [bridge, ['edge/+/stored/+', 'edge/sync']],
          [
            forwarder,
            ['edge/+/offer/+', 'edge/+/readings/+', 'edge/source/+', 'edge/+/status', 'edge/test-box/forwarder/request/+'],
          ],
        ] as const)
          for (const filter of filters) assert.equal(await client.subscribe(filter), 0);
        await Promise.all([watcher, bridge, forwarder].map(async (client) => await client.settled()));
        const seen = [watcher, bridge, forwarder]
          .flatMap((client) => client.messages())
          .filter(({ payload }) => /^[mw]-/.test(payload));
        // Nobody subscribes to what a bridge of version 1 sends again.
        const isKept = (topic: Topic): boolean => topic !== 'resend' && !isAdopted(who, topic);
        const wanted = new Set<string>(expected.publishes.filter(isKept).map((topic) => TOPICS[topic]));
        for (const { topic } of seen) assert.ok(wanted.has(topic), `${topic} was left by ${who}`);
        assert.equal(new Set(seen.map(({ topic }) => topic)).size, wanted.size);
      });
  });
