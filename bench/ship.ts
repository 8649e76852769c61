/**
 * npm run bench:ship: readings accepted and shipped at the same time, from bridges that keep their windows full into a null stream
 * (gateway, forwarder and null stream in separate processes), in both modes, with requests and PUT units per million readings.
 */
import { compile } from './support/child.ts';
import { GUARDED, medianOf } from './support/guarded.ts';
import { hopOverAedes, replaying, shipping, type Figures } from './support/measures.ts';
import { benchOptions, inTurn } from './support/options.ts';
import { finish, row } from './support/result.ts';

const { runs, seconds, short } = benchOptions();
compile();

const HOP = 'broker only: plain Aedes';
const CPU = 'CPU µs, accepted and shipped';
const hopFigures = (hop: Figures): Figures => ({
  'shipped/s': hop['readings/s'] ?? Number.NaN,
  [CPU]: hop['broker µs'] ?? Number.NaN,
});
const results = await inTurn<Figures>(runs, [
  { name: HOP, run: async () => hopFigures(await hopOverAedes(seconds)) },
  ...(['records', 'aggregated'] as const).map((mode) => ({
    name: `KINESIS_MODE=${mode}`,
    run: async () => await shipping(mode, seconds),
  })),
  { name: 'npm start, a replay at full speed, aggregated', run: async () => await replaying(short ? 60_000 : 200_000) },
]);
finish({
  bench: 'ship',
  title: 'Accepting and shipping at the same time, into a null stream',
  note: [
    'Separate processes, 5 bridges with 10 straps each, windows full, readings of 200 B.',
    'CPU: of gateway and forwarder together (baseline: of the broker).',
    'Replay: all of npm start, including the strap and its notifications. Baseline: plain Aedes that passes on the same messages once.',
  ].join(' '),
  columns: ['shipped/s', 'accepted/s', '÷ plain Aedes', CPU, 'requests per million', 'PUT units per million', 'sent twice %'],
  rows: [...results].map(([name, all]) =>
    row(
      name,
      all.map((run, index) => ({
        ...run,
        '÷ plain Aedes': (run['shipped/s'] ?? Number.NaN) / (results.get(HOP)?.[index]?.['shipped/s'] ?? Number.NaN),
      })),
    ),
  ),
  guarded: { [GUARDED.shipped]: medianOf(results.get(HOP), CPU) / medianOf(results.get('KINESIS_MODE=aggregated'), CPU) },
});
