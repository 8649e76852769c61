/** `npm run token`: shows the operator's token of this box, making it at first use. */
import { processConfig } from '../service/config/config.ts';
import { operatorToken } from '../service/storage/data-dir.ts';
import { reportStartFailure } from '../service/process/lifecycle.ts';

try {
  console.log(operatorToken(processConfig()));
} catch (error) {
  process.exitCode = reportStartFailure(error);
}
