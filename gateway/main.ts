import { runService } from '../service/lifecycle.ts';
import { GatewayService } from './service.ts';

await runService('gateway', (context) => new GatewayService(context));
