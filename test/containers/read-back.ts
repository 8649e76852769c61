/** Reads the whole stream back and says, for each run, whether a reading is missing; exit code 1 where one is. */
import { processConfig } from '../service/config/config.ts';
import { accountOf } from './account.ts';
import { streamClient } from './stream-client.ts';

const config = processConfig();
const client = streamClient(config);
const accounts = await accountOf(client, config.KINESIS_STREAM);
client.destroy();
for (const { run, last, present, missing, duplicates } of accounts)
  console.log(
    `run ${run}: 1-${last}, ${present} there, ${missing.length} missing${missing.length > 0 ? ` (${missing.slice(0, 10).join(', ')})` : ''}, ${duplicates} twice`,
  );
if (accounts.length === 0 || accounts.some(({ missing }) => missing.length > 0)) process.exitCode = 1;
