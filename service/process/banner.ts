/** What `npm start` and `hr-gateway start` print once all services run. */
import path from 'node:path';
import type { BridgeStatus } from '../../contract/bridge-status.ts';
import type { Config } from '../config/config.ts';
import { maskUrl } from '../config/config.ts';
import { hostToConnect } from '../network/addresses.ts';
import { VERSION } from './version.ts';

export interface Running {
  config: Config;
  ownBroker: boolean;
  source: BridgeStatus['source'] | undefined;
}

function strapsLine({ config, source }: Running): string {
  switch (source) {
    case 'simulated':
      return (
        `SIMULATED: ${config.SIMULATED_STRAPS} straps that do not exist` +
        (config.BLE_SOURCE === 'auto' ? ' (no Bluetooth adapter found)' : '')
      );
    case 'replay':
      return `REPLAY of ${config.REPLAY_FILE}`;
    case 'noble':
      return `real, received by ${config.BLE_ADAPTER === undefined ? 'the Bluetooth adapter' : `Bluetooth adapter ${config.BLE_ADAPTER}`}`;
    default:
      return 'none: no Bluetooth adapter answers; npm run doctor shows why';
  }
}

function streamLine(config: Config): string {
  const local = `http://${hostToConnect(config.LOCAL_KINESIS_HOST)}:${config.LOCAL_KINESIS_PORT}`;
  if (config.KINESIS_TARGET === 'local') return `${config.KINESIS_STREAM}, local stream on ${local}   (npm run tail)`;
  return `${config.KINESIS_STREAM}, ${config.KINESIS_TARGET === 'aws' ? 'AWS Kinesis' : maskUrl(config.KINESIS_TARGET)}`;
}

/** The banner: version, source of readings, URLs and data folder. */
export function bannerOf(running: Running): string {
  const { config } = running;
  const host = config.MQTT_LISTEN_HOST;
  const broker = running.ownBroker
    ? `mqtt://${host}:${config.MQTT_LISTEN_PORT}   ws://${host}:${config.MQTT_LISTEN_WS_PORT}   (topic hr/+/bpm)`
    : maskUrl(config.MQTT_URL);
  return [
    '',
    `  hr-gateway ${VERSION} is running. Ctrl-C stops it.`,
    '',
    `  straps   ${strapsLine(running)}`,
    `  broker   ${broker}`,
    `  stream   ${streamLine(config)}`,
    `  page     ${config.ADMIN_TLS_CERT_FILE === undefined ? 'http' : 'https'}://${config.ADMIN_HOST}:${config.ADMIN_PORT}/`,
    `  data     ${path.resolve(config.DATA_DIR)}`,
    '',
  ].join('\n');
}
