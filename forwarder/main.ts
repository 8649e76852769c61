import { runService } from '../service/process/lifecycle.ts';
import { ForwarderService } from './service.ts';

await runService('forwarder', (context) => new ForwarderService(context));
