/** Reads the whole stream and prints, for each run, whether a reading is missing; exit code 1 if one is, or if there is no run. */
import { accountOf } from '../../cli/drill/account.ts';
import { streamClient } from '../../cli/stream-client.ts';
import { processConfig } from '../../service/config/config.ts';
import { targetStream } from '../../service/config/stream-address.ts';

const config = processConfig();
const client = await streamClient(config);
const { runs: accounts } = await accountOf(client, targetStream(config));
client.destroy();
for (const { run, last, present, missing, duplicates } of accounts) {
  const which = missing.length > 0 ? ` (${missing.slice(0, 10).join(', ')})` : '';
  console.log(`run ${run}: 1-${last}, ${present} present, ${missing.length} missing${which}, ${duplicates} duplicates`);
}
if (accounts.length === 0 || accounts.some(({ missing }) => missing.length > 0)) process.exitCode = 1;
