import { runService } from '../service/lifecycle.ts';
import { BleBridgeService } from './service.ts';

await runService('ble-bridge', (context) => new BleBridgeService(context));
