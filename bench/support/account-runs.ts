/** One run of bench:accounts: the forwarder's queue file and sink in this process, in virtual time. */
import path from 'node:path';
import { QueueFile } from '../../forwarder/queue/queue-file.ts';
import type { Append } from '../../forwarder/queue/queue-messages.ts';
import { KinesisSink } from '../../forwarder/sink/kinesis-sink.ts';
import { readConfig } from '../../service/config/config.ts';
import { createLogger } from '../../service/log/log.ts';

export interface AccountRun {
  /** User and system, of all threads. */
  cpuMs: number;
  /** Of the records that were sent. */
  bytes: number;
}

const GATEWAY = 'front-desk';
const RUN = '3f9a1c2e00b7d415';

function secondOf(first: number, straps: number, nowMs: number): Append {
  const seqs = Array.from({ length: straps }, (_, strap) => first + strap);
  const data = seqs.map((seq, strap) =>
    JSON.stringify({
      timestamp: new Date(nowMs).toISOString(),
      heart_rate: 60 + (seq % 100),
      device: `polar-h10-a1b2c${strap}`,
      gateway: GATEWAY,
      run: RUN,
      seq,
      rr_intervals_ms: [812.5, 830.1],
      sensor_contact: true,
      energy_expended_kj: null,
      clock: 'synced',
    }),
  );
  return {
    rows: { data, devices: seqs.map((_, strap) => `polar-h10-a1b2c${strap}`), sources: seqs.map(() => 0) },
    numbered: [{ gateway: GATEWAY, run: RUN, first, count: straps }],
    dead: [],
    watermarks: [{ gateway: GATEWAY, run: RUN, stored: first + straps - 1, missed: {} }],
  };
}

/** Date.now and performance.now of this process; what measures CPU does not use them. */
function virtualClock(): { pass: (ms: number) => void; restore: () => void } {
  const real = { date: Date.now, monotonic: performance.now };
  let nowMs = Date.parse('2026-11-30T00:00:00.000Z');
  Date.now = () => nowMs;
  performance.now = () => nowMs;
  return {
    pass: (ms) => void (nowMs += ms),
    restore: () => {
      Date.now = real.date;
      performance.now = real.monotonic;
    },
  };
}

/** Ships `minutes` of readings, one per strap and second, from a new queue in `folder`. */
export async function runAccounts({
  folder,
  endpoint,
  everyMs,
  straps,
  minutes,
}: {
  folder: string;
  endpoint: string;
  /** Between two accounts; undefined: none. */
  everyMs: number | undefined;
  straps: number;
  minutes: number;
}): Promise<AccountRun> {
  const config = readConfig({ KINESIS_TARGET: 'local', LOCAL_KINESIS_PORT: new URL(endpoint).port, LOG_LEVEL: 'silent' });
  const sink = new KinesisSink(config, createLogger('bench', config));
  const queue = new QueueFile({
    file: path.join(folder, 'queue.db'),
    gateway: GATEWAY,
    commitIntervalMs: 0,
    maxBytes: 1024 ** 3,
    minFreeDiskBytes: 0,
    auditDays: 90,
    whenFull: 'evict-oldest',
    accounts: everyMs === undefined ? 'off' : 'readings',
    ...(everyMs === undefined ? {} : { accountsEveryMs: everyMs }),
  });
  const clock = virtualClock();
  const { signal } = new AbortController();
  let bytes = 0;
  try {
    queue.open({ mayOpen: () => true });
    const second = async (index: number): Promise<void> => {
      queue.commit([secondOf(index * straps + 1, straps, Date.now())]);
      const taken = queue.take({ maxRows: straps, maxBytes: Number.MAX_SAFE_INTEGER });
      if (taken === undefined) throw new Error('the queue has no rows');
      const records = taken.data.map((line, at) => ({ partitionKey: taken.devices[at] ?? '', data: Buffer.from(`${line}\n`) }));
      for (const { data } of records) bytes += data.length;
      await sink.send(records, signal);
      queue.shipped(taken.ids);
      clock.pass(1000);
    };
    // The sink loads the SDK and connects with its first request.
    await second(0);
    bytes = 0;
    const before = process.cpuUsage();
    for (let index = 1; index <= minutes * 60; index += 1) await second(index);
    const { user, system } = process.cpuUsage(before);
    return { cpuMs: (user + system) / 1000, bytes };
  } finally {
    clock.restore();
    queue.close();
    sink.close();
  }
}
