import { runService } from '../service/lifecycle.ts';
import { ForwarderService } from './service.ts';

await runService('forwarder', (context) => new ForwarderService(context));
