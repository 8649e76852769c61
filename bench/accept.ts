/**
 * npm run bench:accept: readings accepted per second (committed with fsync and confirmed to the bridge) with 1, 5 and 50 bridges that
 * keep their windows full. The uplink is unreachable, so everything stays queued. The baseline is a broker alone.
 */
import { compile } from './support/child.ts';
import {
  acceptedByOne,
  acceptedSeparately,
  hopOverAedes,
  hopOverMosquitto,
  productMicroseconds,
  type Figures,
} from './support/measures.ts';
import { benchOptions, inTurn } from './support/options.ts';
import { finish, programVersion, row, versionOf } from './support/result.ts';
import { GUARDED } from './support/guarded.ts';
import { median } from './support/statistics.ts';

const { runs, seconds } = benchOptions();
compile();

const HOP = 'broker only: plain Aedes';
const SEPARATE = 'accepted, separate processes, 1 bridge';
const ONE = 'accepted, one process, 1 bridge';
const results = await inTurn<Figures>(runs, [
  { name: HOP, run: async () => await hopOverAedes(seconds) },
  { name: 'broker only: Mosquitto', run: async () => await hopOverMosquitto(seconds) },
  { name: SEPARATE, run: async () => await acceptedSeparately(1, seconds) },
  ...[5, 50].map((bridges) => ({
    name: `accepted, separate processes, ${bridges} bridges`,
    run: async () => await acceptedSeparately(bridges, seconds),
  })),
  { name: 'accepted, separate processes, 5 bridges, 2 KB', run: async () => await acceptedSeparately(5, seconds, 2000) },
  { name: ONE, run: async () => await acceptedByOne(1, seconds) },
  ...[5, 50].map((bridges) => ({
    name: `accepted, one process, ${bridges} bridges`,
    run: async () => await acceptedByOne(bridges, seconds),
  })),
]);
const cpu = (name: string): number => median((results.get(name) ?? []).map(productMicroseconds));
finish({
  bench: 'accept',
  title: 'Accepting: committed with fsync, and confirmed to the bridge',
  note: [
    'Readings of 200 B, windows full, uplink unreachable. µs: CPU per reading.',
    'p50, p99: from publish to confirmation, behind a full window.',
    'Baseline: plain Aedes that passes on the same messages once at QoS 1 and stores nothing.',
  ].join(' '),
  columns: ['readings/s', '÷ plain Aedes', 'broker µs', 'forwarder µs', 'one process µs', 'bridges µs', 'p50 ms', 'p99 ms'],
  rows: [...results]
    .filter(([, all]) => all.some((run) => Object.keys(run).length > 0))
    .map(([name, all]) =>
      row(
        name,
        all.map((run, index) => ({
          ...run,
          '÷ plain Aedes': (run['readings/s'] ?? Number.NaN) / (results.get(HOP)?.[index]?.['readings/s'] ?? Number.NaN),
        })),
      ),
    ),
  versions: {
    aedes: versionOf('aedes'),
    mqtt: versionOf('mqtt'),
    mosquitto: programVersion('/usr/sbin/mosquitto', ['-h'], /\d+\.\d+\.\d+/) ?? 'not installed',
  },
  guarded: { [GUARDED.separate]: cpu(HOP) / cpu(SEPARATE), [GUARDED.one]: cpu(HOP) / cpu(ONE) },
});
