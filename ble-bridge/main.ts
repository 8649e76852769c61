import { runService } from '../service/process/lifecycle.ts';
import { BleBridgeService } from './service.ts';

await runService('ble-bridge', (context) => new BleBridgeService(context));
