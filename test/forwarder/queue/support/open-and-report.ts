/** Run as a process: opens the queue in the folder as the product does, and prints counts and the most memory that it took. */
import { closeKeepingLog, openQueue } from '../../../../forwarder/queue/open-queue.ts';

const [folder = ''] = process.argv.slice(2);
const opened = openQueue(`${folder}/queue.db`, { gateway: 'test-box', mayOpen: () => true });
if (opened === undefined) throw new Error('the queue was not opened');
const { state, database } = opened;
closeKeepingLog(database);
console.log(JSON.stringify({ state, rssMiB: Math.round(process.resourceUsage().maxRSS / 1024) }));
