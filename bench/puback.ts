/**
 * npm run bench:puback: durable PUBACKs per second of 1, 50 and 200 other clients that publish heart rates at QoS 1, and the time from
 * publish to PUBACK while each of them sends 2 readings per second. The baseline is Mosquitto that saves its database on every change,
 * under the same clients; its PUBACK does not wait for that.
 */
import { acknowledgedByMosquitto, acknowledgedByProduct, type ClientLoad } from './support/acknowledging.ts';
import { compile } from './support/child.ts';
import type { Figures } from './support/measures.ts';
import { benchOptions, inTurn } from './support/options.ts';
import { finish, programVersion, row, versionOf } from './support/result.ts';

const { runs, seconds, short } = benchOptions();
compile();

const LOADS = [
  { clients: 1, inFlight: 100 },
  { clients: 50, inFlight: 20 },
  { clients: 200, inFlight: 20 },
] as const;
const named = ({ clients, inFlight }: (typeof LOADS)[number]): string =>
  `${clients} ${clients === 1 ? 'client' : 'clients'}, ${inFlight} in flight each`;
const productOf = (load: (typeof LOADS)[number]): string => `gateway and forwarder, ${named(load)}`;
const mosquittoOf = (load: (typeof LOADS)[number]): string => `Mosquitto, ${named(load)}`;
const baselines = new Map<string, string>(LOADS.map((load) => [productOf(load), mosquittoOf(load)]));

const results = await inTurn<Figures>(
  runs,
  LOADS.flatMap((load) => {
    const all: ClientLoad = { ...load, seconds, calmSeconds: short ? 4 : 10 };
    return [
      { name: mosquittoOf(load), run: async () => await acknowledgedByMosquitto(all) },
      { name: productOf(load), run: async () => await acknowledgedByProduct(all) },
    ];
  }),
);
const perSecond = (name: string, index: number): number => results.get(name)?.[index]?.['PUBACKs/s'] ?? Number.NaN;
finish({
  bench: 'puback',
  title: 'Durable PUBACKs of other clients',
  note: [
    'Clients publish `{timestamp, heart_rate}` at QoS 1 on `hr/<device>/bpm`; uplink unreachable. First each sends 2 per second',
    '(calm: from publish to PUBACK), then each keeps its window full (PUBACKs/s; µs: CPU per reading).',
    'Ours: a PUBACK leaves once the reading is committed with fsync; every acknowledged reading was found in the queue.',
    'The limit of 1,000 messages per second and client is lifted.',
    'Mosquitto: `persistence true`, `autosave_on_changes true`, `autosave_interval 1`, and one subscriber with a persistent session.',
    'It sends the PUBACK before it saves.',
  ].join(' '),
  columns: ['PUBACKs/s', '× Mosquitto', 'broker µs', 'forwarder µs', 'clients µs', 'calm p50 ms', 'calm p99 ms'],
  rows: [...results]
    .filter(([, all]) => all.some((run) => Object.keys(run).length > 0))
    .map(([name, all]) => {
      const baseline = baselines.get(name);
      return row(
        name,
        all.map((run, index) => {
          const ratio = baseline === undefined ? Number.NaN : perSecond(name, index) / perSecond(baseline, index);
          return { ...run, ...(Number.isFinite(ratio) ? { '× Mosquitto': ratio } : {}) };
        }),
      );
    }),
  versions: {
    aedes: versionOf('aedes'),
    mqtt: versionOf('mqtt'),
    mosquitto: programVersion('/usr/sbin/mosquitto', ['-h'], /\d+\.\d+\.\d+/) ?? 'not installed',
  },
});
