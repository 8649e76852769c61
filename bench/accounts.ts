/**
 * npm run bench:accounts: what the accounts in the stream cost the forwarder, in CPU and bytes. One process ships the same readings with
 * accounts and without, in turns: it commits them to the queue file, with fsync, takes them, and sends them with the AWS SDK to a null
 * stream (in another process). Time is virtual, so that a minute's readings take as much work as in reality, and each minute gets its
 * account.
 */
import { runAccounts, type AccountRun } from './support/account-runs.ts';
import { benchOptions, progress } from './support/options.ts';
import { startNullStream } from './support/pipeline.ts';
import { finish, row } from './support/result.ts';
import { withScratch } from './support/scratch.ts';

const { runs, short } = benchOptions();
const CASES = [
  { straps: 1, minutes: short ? 2 : 10 },
  { straps: 20, minutes: short ? 2 : 10 },
];
/** Each figure is made of so many pairs: single runs differ by more than accounts cost. */
const PAIRS = short ? 2 : 20;

type Figures = Record<string, number>;

const sum = (list: readonly AccountRun[], of: (run: AccountRun) => number): number =>
  list.reduce((total, run) => total + of(run), 0);

const rows = await withScratch(async (scratch) => {
  const { endpoint } = await startNullStream(scratch);
  const one = async (accounts: 'readings' | 'off', { straps, minutes }: (typeof CASES)[number]): Promise<AccountRun> =>
    await withScratch(async (own) => await runAccounts({ folder: own.folder(), endpoint, accounts, straps, minutes }));
  const results = new Map<number, Figures[]>(CASES.map(({ straps }) => [straps, []]));
  for (const each of CASES) await one('readings', each);
  for (let index = 0; index < runs; index += 1)
    for (const each of CASES) {
      progress(`run ${index + 1} of ${runs}: ${each.straps} straps`);
      const all = { off: [] as AccountRun[], readings: [] as AccountRun[] };
      // a b, b a, a b…: a drift of the machine affects both alike.
      for (let pair = 0; pair < PAIRS; pair += 1)
        for (const accounts of pair % 2 === 0 ? (['off', 'readings'] as const) : (['readings', 'off'] as const))
          all[accounts].push(await one(accounts, each));
      const cpu = { off: sum(all.off, ({ cpuMs }) => cpuMs), readings: sum(all.readings, ({ cpuMs }) => cpuMs) };
      const bytes = { off: sum(all.off, (run) => run.bytes), readings: sum(all.readings, (run) => run.bytes) };
      const minutes = PAIRS * each.minutes;
      results.get(each.straps)?.push({
        'more CPU %': 100 * (cpu.readings / cpu.off - 1),
        'more bytes %': 100 * (bytes.readings / bytes.off - 1),
        'CPU ms a minute without': cpu.off / minutes,
        'CPU ms a minute with': cpu.readings / minutes,
      });
    }
  return [...results].map(([straps, all]) => row(straps === 1 ? '1 strap' : `${straps} straps`, all));
});
finish({
  bench: 'accounts',
  title: 'Accounts in the stream: what they cost the forwarder',
  note: [
    'KINESIS_ACCOUNTS=readings against off, which is the baseline: queue file and PutRecords, one reading per strap and second,',
    'a commit and a request per second. Bridge, broker and intake, which accounts do not touch, are not in the CPU.',
    `Each run is the sum of ${PAIRS} pairs.`,
  ].join(' '),
  rows,
});
