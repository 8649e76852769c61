import { runService } from '../service/process/lifecycle.ts';
import { AdminApiService } from './service.ts';

await runService('admin-api', (context) => new AdminApiService(context));
