import { runService } from '../service/process/lifecycle.ts';
import { GatewayService } from './service.ts';

await runService('gateway', (context) => new GatewayService(context));
