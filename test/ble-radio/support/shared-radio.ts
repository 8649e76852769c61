/** One virtual radio and one bench for all tests of a suite, because starting them takes seconds. */
import { after, before } from 'node:test';
import { startBench, type BenchOptions, type RadioBench } from './radio-bench.ts';
import { startVirtualRadio, type StrapSpec, type VirtualRadio } from './virtual-radio.ts';

export interface SharedRadio {
  radio: VirtualRadio;
  bench: RadioBench;
}

/** To be called in a `describe`; the result is filled in before the first test. */
export function sharedRadio(straps: Record<number, StrapSpec>, options: BenchOptions = {}): SharedRadio {
  const shared = {} as SharedRadio;
  const ends: (() => unknown)[] = [];
  const owner = { after: (end: () => unknown): void => void ends.unshift(end) };
  before(async () => {
    shared.radio = await startVirtualRadio(owner);
    for (const [id, spec] of Object.entries(straps)) await shared.radio.add(Number(id), spec);
    shared.bench = await startBench(owner, shared.radio, options);
    await Promise.all(Object.keys(straps).map(async (id) => await shared.bench.flows(Number(id), 1)));
  });
  after(async () => {
    for (const end of ends) await end();
  });
  return shared;
}
