/**
 * Eight straps under faults chosen by seed. Each notification carries a number of its own (as an RR interval), so that what the
 * controller gave to noble can be compared with the readings one by one.
 */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { encodeHeartRateMeasurement } from '../../../ble-bridge/hrm-parser.ts';
import { eventually } from '../../support/eventually.ts';
import { startBench } from './radio-bench.ts';
import { startVirtualRadio, type VirtualRadio } from './virtual-radio.ts';

export interface SoakResult {
  faults: Record<string, number>;
  /** Numbered notifications with a pulse that reached noble. */
  delivered: number;
  readings: number;
  reconnectMs: { p50: number | null; p95: number | null };
  /** Heap after garbage collection where node runs with --expose-gc, MiB: after a tenth of the time, and at the end. */
  heapMiB: [number, number];
  longestRecoveryMs: number;
}

/** Uniform in [0, 1), the same for the same seed (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

type Fault = (radio: VirtualRadio, id: number, random: () => number) => Promise<void>;

const period = { period: 0 } as const;
const FAULTS: Record<string, Fault> = {
  terminate: async (radio, id) => void (await radio.op('terminate', { id, reason: 0x13 })),
  vanish: async (radio, id, random) => {
    await radio.op('vanish', { id });
    await sleep(500 + 3000 * random());
    await radio.add(id, { name: `HR${id}`, ...period });
  },
  mute: async (radio, id, random) => {
    await radio.op('mute', { id, on: true });
    await sleep(500 + 2500 * random());
    await radio.op('mute', { id, on: false });
  },
  not_established: async (radio, id, random) => {
    await radio.op('fault', { conn_3e: true });
    await radio.op('terminate', { id });
    await sleep(500 + 1000 * random());
    await radio.op('fault', {});
  },
  scan_refused: async (radio, id, random) => {
    await radio.op('fault', { scan_disallowed: true });
    await radio.op('terminate', { id });
    await sleep(500 + 2000 * random());
    await radio.op('fault', {});
  },
  malformed: async (radio, id) => {
    for (const hex of ['', '1748', 'ff']) await radio.op('raw', { id, hex });
  },
  no_pulse: async (radio, id) => void (await radio.op('raw', { id, hex: '0600' })),
  unplug: async (radio) => void (await radio.op('unplug')),
};
/** An unplugged adapter ends everybody's link: it has its turn, but seldom. */
const WEIGHTS: Record<string, number> = { unplug: 0.15 };

export async function soak(t: TestContext, options: { seconds: number; seed: number }): Promise<SoakResult> {
  const random = seeded(options.seed);
  const radio = await startVirtualRadio(t);
  const ids = Array.from({ length: 8 }, (_, index) => index + 1);
  for (const id of ids) await radio.add(id, { name: `HR${id}`, ...period });
  const seen = new Set<number>();
  (globalThis as { hciTap?: (packet: Buffer) => void }).hciTap = (packet) => {
    // ACL, attribute protocol, notification: 02 handle(2) length(2) l2cap length(2) cid(2) 1b value handle(2) value.
    const value = packet.subarray(12);
    if (packet[0] === 2 && packet.readUInt16LE(7) === 4 && packet[9] === 0x1b && value.length === 6 && value[0] === 0x16) seen.add(value.readUInt16LE(2) + 65_536 * (value[1] ?? 0));
  };
  t.after(() => delete (globalThis as { hciTap?: unknown }).hciTap);
  const bench = await startBench(t, radio, { environment: { BLE_SILENCE_MS: '2000' } });
  await Promise.all(ids.map(async (id) => await bench.reaches(id, 'subscribing')));

  // The number stands in heart rate (1-250) and the one RR interval: 0x16, bpm, rr, padded by a second RR.
  let number = 65_536;
  const end = performance.now() + options.seconds * 1000;
  const beating = (async () => {
    while (performance.now() < end) {
      for (const id of ids) {
        number += 1;
        const bytes = encodeHeartRateMeasurement({ bpm: 1 + (Math.floor(number / 65_536) % 250), contact: true, energyKj: null, rr1024: [number % 65_536, 1024] });
        await radio.raw(id, bytes).catch(() => {}); // It may have vanished.
      }
      await sleep(150);
    }
  })();
  const faults: Record<string, number> = {};
  const names = Object.keys(FAULTS).flatMap((name) => Array.from({ length: Math.round(20 * (WEIGHTS[name] ?? 1)) }, () => name));
  const heap = (): number => {
    (globalThis as { gc?: () => void }).gc?.();
    return Math.round(process.memoryUsage().heapUsed / 2 ** 20);
  };
  const started = performance.now();
  let heapBefore = 0;
  while (performance.now() < end - 3000) {
    const name = names[Math.floor(random() * names.length)] ?? 'terminate';
    const id = ids[Math.floor(random() * ids.length)] ?? 1;
    faults[name] = (faults[name] ?? 0) + 1;
    await FAULTS[name]?.(radio, id, random);
    await sleep(300 + 700 * random());
    if (heapBefore === 0 && performance.now() - started > options.seconds * 100) heapBefore = heap();
  }
  await radio.op('fault', {});
  await beating;
  // The faults are over: every strap comes back.
  const from = performance.now();
  await Promise.all(
    ids.map(async (id) => {
      const before = bench.readingsOf(id).length;
      await eventually(async () => {
        await radio.raw(id, encodeHeartRateMeasurement({ bpm: 251, contact: null, energyKj: null, rr1024: [] }));
        return bench.readingsOf(id).length > before;
      }, { withinMs: 60_000, everyMs: 200, what: `strap ${id} back after the faults (is ${bench.strap(id)?.link.state})` });
    }),
  );
  const longestRecoveryMs = Math.round(performance.now() - from);
  assert.deepEqual(bench.fatal, []);
  const taken = new Set(bench.readings.filter(({ rr_intervals_ms }) => rr_intervals_ms.length === 2).map(({ heart_rate, rr_intervals_ms }) => Math.round(((rr_intervals_ms[0] ?? 0) * 1024) / 1000) + 65_536 * heart_rate));
  const missing = [...seen].filter((one) => !taken.has(one));
  assert.deepEqual(missing, [], `${missing.length} of ${seen.size} notifications that reached noble are no readings`);
  assert.equal(taken.size, bench.readings.filter(({ rr_intervals_ms }) => rr_intervals_ms.length === 2).length, 'a notification became two readings');
  // Nothing of the old links is left in the process.
  assert.ok(process.listenerCount('SIGINT') < 10 && process.listenerCount('exit') < 10, `${process.listenerCount('exit')} exit listeners`);
  return { faults, delivered: seen.size, readings: bench.readings.length, reconnectMs: bench.statistics.reconnectMs, heapMiB: [heapBefore, heap()], longestRecoveryMs };
}
