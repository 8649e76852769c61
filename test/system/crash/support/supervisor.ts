/** A parent that supervises a bridge as `npm start` does, and logs the bridge's process id. */
import { childEnvironment, processConfig } from '../../../../service/config/config.ts';
import { createLogger } from '../../../../service/log/log.ts';
import { SupervisedProcess } from '../../../../service/process/supervised-process.ts';

const log = createLogger('supervisor', processConfig());
const bridge = new SupervisedProcess({
  name: 'ble-bridge',
  module: new URL('../../../../ble-bridge/main.ts', import.meta.url),
  environment: childEnvironment({}),
  log,
});
bridge.start();
log.info({ event: 'supervising', child: bridge.pid }, 'started the bridge');
