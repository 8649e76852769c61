/** Runs the bridge as a process of its own, with a recovery ladder that takes seconds instead of minutes. */
import { BleBridgeService } from '../../../ble-bridge/service.ts';
import { runService } from '../../../service/process/lifecycle.ts';

await runService('ble-bridge', (context) => new BleBridgeService(context, { ladder: { rungMs: 500 } }));
