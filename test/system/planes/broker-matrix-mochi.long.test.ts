import type { TestContext } from 'node:test';
import { GO_MISSING, hasGo, startMochi } from '../../support/brokers/mochi.ts';
import { cannotRun } from '../../support/cannot-run.ts';
import { brokerMatrix, type Demands, type Site } from './support/broker-matrix.ts';
import { StrapBox } from './support/strap-box.ts';

const NAME = 'front-desk';
const PASSWORD = 'p@ss:w/o#rd%';

async function start(t: TestContext, demands: Demands): Promise<Site | undefined> {
  if (!hasGo()) {
    cannotRun(t, GO_MISSING);
    return undefined;
  }
  const edge = [
    `edge/${NAME}/#`,
    'edge/sync',
    'edge/+/status',
    'edge/+/metrics',
    'edge/+/request/+',
    'edge/+/response/+',
    'edge/source/+',
  ];
  const write = ['hr/#', 'homeassistant/#', ...edge, 'edge/+/+/status'];
  // The forwarder serves every gateway by default.
  const read = [...write, 'edge/+/offer/+', 'edge/+/readings/+'];
  const withoutStored = read.filter((filter) => filter !== `edge/${NAME}/#`);
  const broker = await startMochi(t, {
    users: { [NAME]: { password: PASSWORD, write, read: demands.withoutStored === true ? withoutStored : read } },
    ...(demands.publishBytesMax === undefined ? {} : { maxPacketBytes: demands.publishBytesMax }),
    ...(demands.filtersMax === undefined ? {} : { maxFilters: demands.filtersMax }),
    ...(demands.clientIdIsUsername === undefined ? {} : { usernameIsTheClientId: true }),
  });
  return {
    async box({ name = NAME, everyMs } = {}) {
      return await StrapBox.make(t, {
        name,
        // As they are, not percent-encoded.
        mqttUrl: broker.url().replace('//', `//${NAME}:${PASSWORD}@`),
        environment: { MQTT_BROKER: 'external' },
        ...(everyMs === undefined ? {} : { everyMs }),
      });
    },
    restart: async () => await broker.restart(),
  };
}

brokerMatrix({ name: 'mochi-mqtt', start, withoutStored: 'subscription_refused', replacedClientIds: 'client_id_conflict' });
