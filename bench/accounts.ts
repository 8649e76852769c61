/**
 * npm run bench:accounts: what the accounts in the stream cost the forwarder, in CPU and bytes. One process ships the same readings with
 * accounts and without, in turns: it commits them to the queue file, with fsync, takes them, and sends them with the AWS SDK to a null
 * stream (in another process). Time is virtual, so that a minute's readings take as much work as in reality, and each minute gets its
 * account.
 */
import { runAccounts } from './support/account-runs.ts';
import { benchOptions, progress } from './support/options.ts';
import { startNullStream } from './support/pipeline.ts';
import { finish, row } from './support/result.ts';
import { withScratch, type Scratch } from './support/scratch.ts';

const { runs, short } = benchOptions();
const STRAPS = [1, 20];
const MINUTES = short ? 2 : 5;
/** Each figure is made of so many turns: single runs differ by more than accounts cost. */
const TURNS = short ? 2 : 8;
const PER_MINUTE = 60;
/** ms between two accounts. 60 times as many cost 60 times as much, which stands out from the noise of a machine. */
const CASES = { off: undefined, minute: 60_000, second: 60_000 / PER_MINUTE };
type Case = keyof typeof CASES;
const NAMES: readonly Case[] = ['off', 'minute', 'second'];

type Figures = Record<string, number>;

async function turns(scratch: Scratch, endpoint: string, straps: number): Promise<Figures> {
  const sums = { off: { cpuMs: 0, bytes: 0 }, minute: { cpuMs: 0, bytes: 0 }, second: { cpuMs: 0, bytes: 0 } };
  for (let turn = 0; turn < TURNS; turn += 1)
    // a b c, c b a, a b c…: a drift of the machine affects all alike.
    for (const name of turn % 2 === 0 ? NAMES : NAMES.toReversed()) {
      const everyMs = CASES[name];
      const run = await runAccounts({ folder: scratch.folder(), endpoint, everyMs, straps, minutes: MINUTES });
      sums[name].cpuMs += run.cpuMs;
      sums[name].bytes += run.bytes;
    }
  const { off, minute, second } = sums;
  return {
    'more CPU %': 100 * (minute.cpuMs / off.cpuMs - 1),
    'more CPU %, from 60 times as many ÷ 60': (100 * (second.cpuMs / off.cpuMs - 1)) / PER_MINUTE,
    'more bytes %': 100 * (minute.bytes / off.bytes - 1),
    'CPU ms a minute without': off.cpuMs / (TURNS * MINUTES),
  };
}

const rows = await withScratch(async (scratch) => {
  const { endpoint } = await startNullStream(scratch);
  const results = new Map<number, Figures[]>(STRAPS.map((straps) => [straps, []]));
  // Once before, to load and compile what is measured.
  await runAccounts({ folder: scratch.folder(), endpoint, everyMs: CASES.minute, straps: 20, minutes: MINUTES });
  for (let index = 0; index < runs; index += 1)
    for (const straps of STRAPS) {
      progress(`run ${index + 1} of ${runs}: ${straps} straps`);
      results.get(straps)?.push(await withScratch(async (own) => await turns(own, endpoint, straps)));
    }
  return [...results].map(([straps, all]) => row(straps === 1 ? '1 strap' : `${straps} straps`, all));
});
finish({
  bench: 'accounts',
  title: 'Accounts in the stream: what they cost the forwarder',
  note: [
    'KINESIS_ACCOUNTS=readings against off, which is the baseline: queue file and PutRecords, one reading per strap and second,',
    'a commit and a request per second. Bridge, broker and intake, which accounts do not touch, are not in the CPU.',
    `Each run is the sum of ${TURNS} turns.`,
  ].join(' '),
  rows,
});
