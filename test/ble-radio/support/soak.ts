/**
 * Eight straps with seeded faults, through the whole product, beside phantoms that never accept a connection and straps that other devices
 * hold. Each notification carries a unique number (as heart rate and RR interval), so that what the controller passed to noble can be
 * compared with the stream one by one.
 */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { encodeHeartRateMeasurement } from '../../../ble-bridge/gatt/hrm-parser.ts';
import { eventually } from '../../support/eventually.ts';
import { seeded } from '../../support/seeded.ts';
import { makeHeapMeter } from './heap-meter.ts';
import { strayListeners } from './listeners.ts';
import { startRadioProduct } from './radio-product.ts';
import { startVirtualRadio, strapAddress, type VirtualRadio } from './virtual-radio.ts';

export interface SoakResult {
  faults: Record<string, number>;
  /** Time from the end of a fault to the next reading of its strap in ms, by fault. */
  recoveryMs: Record<string, { p50: number; max: number }>;
  /** Numbered notifications with a pulse that reached noble. */
  delivered: number;
  /** Numbered readings in the stream. */
  inStream: number;
  /** Of them, repetitions of a reading (the same run and seq), which at least once allows. */
  repeated: number;
  reconnectMs: { p50: number | null; p95: number | null };
  /** Heap after garbage collection in MiB, ten samples over the run. */
  heapMiB: number[];
  /** Time from the last fault until every strap had sent again, in ms. */
  lastRecoveryMs: number;
}

type Fault = (radio: VirtualRadio, id: number, random: () => number) => Promise<void>;

/** A stream that has not grown for so long holds all that it ever will. */
const STREAM_STANDS_MS = 60_000;
const PHANTOMS = [21, 22, 23, 24, 25, 26];
const TAKEN = [31, 32, 33, 34];

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
  taken_for_a_while: async (radio, id, random) => {
    await radio.op('kind', { id, kind: 'scan' });
    await radio.op('terminate', { id });
    await sleep(500 + 3000 * random());
    await radio.op('kind', { id, kind: 'ind' });
  },
  phantom_moves: async (radio, _id, random) => {
    const phantom = PHANTOMS[Math.floor(random() * PHANTOMS.length)] ?? 21;
    await radio.op('vanish', { id: phantom });
    await radio.add(phantom, { name: `Phantom${phantom}`, accepts: false });
  },
  unplug: async (radio, _id, random) => {
    process.env['NOBLE_HCI_H4_RECONNECT_MS'] = String(200 + Math.round(2500 * random()));
    await radio.op('unplug');
  },
};
/** An unplugged adapter ends all links: it is chosen less often. */
const WEIGHTS: Record<string, number> = { unplug: 0.15 };
const NAMES = Object.keys(FAULTS).flatMap((name) => Array.from({ length: Math.round(20 * (WEIGHTS[name] ?? 1)) }, () => name));

/** Encodes the number in the heart rate (1-250) and the first RR interval; the second is always 1 s. */
const numbered = (number: number): Buffer =>
  encodeHeartRateMeasurement({
    bpm: 1 + (Math.floor(number / 65_536) % 250),
    contact: true,
    energyKj: null,
    rr1024: [number % 65_536, 1024],
  });
const numberOf = (bpm: number, rr: number): number => 65_536 * bpm + rr;

/** The number in an ACL packet (02 handle(2) length(2) l2cap length(2) cid(2) 1b value handle(2) 16 bpm rr rr), if it has one. */
function numberIn(packet: Buffer): number | undefined {
  const value = packet.subarray(12);
  if (packet[0] !== 2 || packet.readUInt16LE(7) !== 4 || packet[9] !== 0x1b || value.length !== 6 || value[0] !== 0x16)
    return undefined;
  return numberOf(value[1] ?? 0, value.readUInt16LE(2));
}

export async function soak(t: TestContext, options: { seconds: number; seed: number }): Promise<SoakResult> {
  const random = seeded(options.seed);
  const radio = await startVirtualRadio(t);
  const ids = Array.from({ length: 8 }, (_, index) => index + 1);
  for (const id of ids) await radio.add(id, { name: `HR${id}`, ...period });
  for (const id of PHANTOMS) await radio.add(id, { name: `Phantom${id}`, accepts: false });
  for (const id of TAKEN) await radio.add(id, { name: `Taken${id}`, kind: 'scan' });
  const unhandled: unknown[] = [];
  const onUnhandled = (reason: unknown): void => void unhandled.push(reason);
  process.on('unhandledRejection', onUnhandled);
  t.after(() => process.removeListener('unhandledRejection', onUnhandled));
  const seen = new Set<number>();
  (globalThis as { hciTap?: (packet: Buffer) => void }).hciTap = (packet) => {
    const number = numberIn(packet);
    if (number !== undefined) seen.add(number);
  };
  t.after(() => delete (globalThis as { hciTap?: unknown }).hciTap);

  // Faults that a strap has not recovered from yet, and the recovery times so far.
  const waiting = new Map<number, { fault: string; since: number }>();
  const recoveries: Record<string, number[]> = {};
  const delivering = new Set<number>();
  const product = await startRadioProduct(t, radio, {
    environment: { BLE_SILENCE_MS: '2000', BLE_MAX_STRAPS: '32' },
    onReading: ({ device }) => {
      const id = Number(/^hr(\d)-/.exec(device)?.[1]);
      delivering.add(id);
      const fault = waiting.get(id);
      waiting.delete(id);
      if (fault !== undefined) (recoveries[fault.fault] ??= []).push(performance.now() - fault.since);
    },
  });
  let number = 65_536;
  const beat = new AbortController();
  const beating = (async () => {
    while (!beat.signal.aborted) {
      for (const id of ids) await radio.raw(id, numbered((number += 1))).catch(() => {}); // The strap may be gone.
      await sleep(150);
    }
  })();
  const allDeliver = async (what: string): Promise<void> => {
    delivering.clear();
    await eventually(() => delivering.size === ids.length, {
      withinMs: 120_000,
      what: `all straps ${what}, not only ${[...delivering].join(' ')}`,
    });
  };
  try {
    await allDeliver('at first');
    const faults: Record<string, number> = {};
    const heap = makeHeapMeter();
    const heapMiB: number[] = [];
    const started = performance.now();
    while (performance.now() < started + options.seconds * 1000) {
      const name = NAMES[Math.floor(random() * NAMES.length)] ?? 'terminate';
      const id = ids[Math.floor(random() * ids.length)] ?? 1;
      faults[name] = (faults[name] ?? 0) + 1;
      waiting.delete(id);
      await FAULTS[name]?.(radio, id, random);
      waiting.set(id, { fault: name, since: performance.now() });
      await sleep(300 + 700 * random());
      if (performance.now() - started > (heapMiB.length + 1) * options.seconds * 100) heapMiB.push(heap());
    }
    await radio.op('fault', {});
    const from = performance.now();
    await allDeliver('after the faults');
    const lastRecoveryMs = Math.round(performance.now() - from);
    beat.abort();
    await beating;
    assert.deepEqual(product.fatal, []);
    assert.deepEqual(unhandled, []);
    for (const id of TAKEN) {
      const { state, connects } = product.deviceStatus(strapAddress(id)) ?? {};
      assert.deepEqual({ state, connects }, { state: 'taken', connects: 0 }, 'no connect to a taken strap is tried');
    }
    for (const id of PHANTOMS) assert.equal(product.deviceStatus(strapAddress(id))?.connects, 0, 'a phantom never accepts');
    await eventually(() => strayListeners().length === 0, { what: `no listener left: ${strayListeners().join('; ')}` });
    const readStream = async (): Promise<{ missing: number[]; all: { number: number; reading: string }[] }> => {
      const all = (await product.readStream())
        .filter(({ rr_intervals_ms }) => rr_intervals_ms.length === 2)
        .map(({ heart_rate, rr_intervals_ms, run, seq }) => ({
          number: numberOf(heart_rate, Math.round(((rr_intervals_ms[0] ?? 0) * 1024) / 1000)),
          reading: `${run} ${seq}`,
        }));
      const taken = new Set(all.map(({ number: one }) => one));
      return { missing: [...seen].filter((one) => !taken.has(one)), all };
    };
    // However busy the machine is: only a stream that does not grow any more has lost them.
    let inStream: Awaited<ReturnType<typeof readStream>> = { missing: [], all: [] };
    let grewAt = performance.now();
    await eventually(
      async () => {
        const count = inStream.all.length;
        inStream = await readStream();
        if (inStream.all.length > count) grewAt = performance.now();
        return inStream.missing.length === 0 || performance.now() - grewAt > STREAM_STANDS_MS;
      },
      { withinMs: 600_000, everyMs: 1000 },
    );
    assert.deepEqual(inStream.missing, [], `of ${seen.size} notifications that reached noble`);
    const { all } = inStream;
    const readings = new Map(all.map(({ number: one, reading }) => [reading, one]));
    // A reading may be in the stream twice (at least once), but no notification is two readings.
    assert.equal(new Set(readings.values()).size, readings.size, 'a notification is two readings');
    const { reconnect_ms_p50: p50 = null, reconnect_ms_p95: p95 = null } = product.status()?.radio ?? {};
    const recoveryMs = Object.fromEntries(
      Object.entries(recoveries).map(([fault, times]) => {
        const sorted = times.map(Math.round).sort((a, b) => a - b);
        return [fault, { p50: sorted[Math.floor(sorted.length / 2)] ?? 0, max: sorted.at(-1) ?? 0 }];
      }),
    );
    return {
      faults,
      recoveryMs,
      delivered: seen.size,
      inStream: all.length,
      repeated: all.length - readings.size,
      reconnectMs: { p50, p95 },
      heapMiB,
      lastRecoveryMs,
    };
  } finally {
    beat.abort();
    await beating;
  }
}
