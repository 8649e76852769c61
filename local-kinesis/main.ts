import { runService } from '../service/process/lifecycle.ts';
import { LocalKinesisService } from './service.ts';

await runService('local-kinesis', (context) => new LocalKinesisService(context));
