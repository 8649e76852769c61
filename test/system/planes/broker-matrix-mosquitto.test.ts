import type { TestContext } from 'node:test';
import { SERVICE_NAMES } from '../../../contract/topics.ts';
import { startLimitingProxy } from '../../support/brokers/limiting-proxy.ts';
import { hasMosquitto, MOSQUITTO_MISSING, startMosquitto } from '../../support/brokers/mosquitto.ts';
import { cannotRun } from '../../support/cannot-run.ts';
import { brokerMatrix, type Demands, type Site } from './support/broker-matrix.ts';
import { printedRights } from './support/printed-rights.ts';
import { StrapBox } from './support/strap-box.ts';

const NAME = 'front-desk';
const WITHOUT_STORED = [...SERVICE_NAMES, 'offer', 'readings']
  .map((topic) => `topic readwrite edge/${NAME}/${topic}/#`)
  .join('\n');

async function start(t: TestContext, demands: Demands): Promise<Site | undefined> {
  if (!hasMosquitto()) {
    cannotRun(t, MOSQUITTO_MISSING);
    return undefined;
  }
  const { passwords, acl, user, password } = await printedRights(t, NAME);
  const broker = await startMosquitto(t, {
    passwords,
    acl: demands.withoutStored === true ? acl.replace(`topic readwrite edge/${NAME}/#`, WITHOUT_STORED) : acl,
    settings: [
      ...(demands.publishBytesMax === undefined ? [] : [`message_size_limit ${demands.publishBytesMax}`]),
      ...(demands.clientIdIsUsername === true ? ['use_username_as_clientid true'] : []),
    ],
  });
  const { filtersMax } = demands;
  const port = filtersMax === undefined ? broker.port : (await startLimitingProxy(t, broker.port, { filtersMax })).port;
  return {
    async box({ name = NAME, everyMs } = {}) {
      return await StrapBox.make(t, {
        name,
        mqttUrl: broker.url(user, password).replace(/\d+$/, String(port)),
        environment: { MQTT_BROKER: 'external' },
        ...(everyMs === undefined ? {} : { everyMs }),
      });
    },
    restart: async () => await broker.restart(),
  };
}

brokerMatrix({ name: 'Mosquitto', start, withoutStored: 'no_acknowledgement', replacedClientIds: 'client_id_conflict' });
