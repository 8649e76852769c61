import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { HeldRun } from '../../outbox/held-run.ts';
import { OutboxRun } from '../../outbox/outbox-run.ts';
import { findEarlierRuns } from '../../outbox/earlier-runs.ts';
import { RunFiles } from '../../outbox/spill-files.ts';
import { DISK_CALLS, FaultyDisk, type DiskFault } from './support/faulty-disk.ts';

/**
 * A run on real files, against what it must do: adds, disk work, file operations that fail, writes that are cut short, a forwarder that
 * takes some, crashes, damage. At the end every reading was delivered, or counted as dropped, or was in no file when the process was
 * killed.
 */
const MEMORY = 20;
const RUN = '0123456789abcdef';
const GATEWAY = 'box';
const QUEUE = 'f000000000000001';
const PAYLOAD = '"'.padEnd(40, 'x');

type Act =
  | { do: 'add'; count: number }
  | { do: 'work' }
  | { do: 'fault'; fault: DiskFault | undefined }
  | { do: 'take'; count: number }
  | { do: 'spill' }
  | { do: 'crash' }
  | { do: 'end' }
  | { do: 'damage'; at: number };

/** Knows what was written and synced. */
class WatchedFiles extends RunFiles {
  readonly #durable: Set<number>;

  constructor(disk: FaultyDisk, folder: string, durable: Set<number>) {
    super({ disk, folder, run: RUN, gateway: GATEWAY, fileBytes: 600 });
    this.#durable = durable;
  }

  override async append(...[entries, ...rest]: Parameters<RunFiles['append']>): Promise<void> {
    await super.append(entries, ...rest);
    for (const { seq } of entries) this.#durable.add(seq);
  }
}

class World {
  readonly folder = mkdtempSync(path.join(tmpdir(), 'hr-gateway-test-'));
  readonly disk = new FaultyDisk();
  readonly durable = new Set<number>();
  readonly delivered = new Set<number>();
  readonly dropped: Record<string, number> = { outbox_full: 0, disk_failed: 0, damaged: 0 };
  /** Dropped although they were on disk, for another reason than damage. */
  readonly evicted = new Set<number>();
  readonly droppedSeqs = new Set<number>();
  /** In no file when the process was killed. */
  readonly gone = new Set<number>();
  maxBytes = Number.POSITIVE_INFINITY;
  taken = 0;
  nextWanted = 1;
  crashed = false;
  damaged = false;
  /** Of offers: far apart, so that each is due. */
  #nowMs = 0;
  run: HeldRun;
  files: RunFiles;

  constructor() {
    this.files = new WatchedFiles(this.disk, this.folder, this.durable);
    this.run = this.#hold(new OutboxRun({ run: RUN, window: 1000, random: () => 0.5 }), this.files);
  }

  #hold(protocol: OutboxRun, files: RunFiles): HeldRun {
    return new HeldRun({
      protocol,
      files,
      gateway: GATEWAY,
      memoryMax: MEMORY,
      diskRetryMs: 0,
      onDropped: ({ cause, from, to, count }) => {
        assert.equal(count, to - from + 1);
        this.dropped[cause] = (this.dropped[cause] ?? 0) + count;
        for (let seq = from; seq <= to; seq += 1) {
          assert.ok(!this.droppedSeqs.has(seq), `${seq} is dropped twice`);
          this.droppedSeqs.add(seq);
          if (cause !== 'damaged' && this.durable.has(seq)) this.evicted.add(seq);
        }
      },
      onDiskError: () => {},
    });
  }

  add(): void {
    // The next process has a run of its own.
    if (this.run.protocol.isRecovered) return;
    this.taken += 1;
    this.run.add({ seq: this.run.protocol.nextSeq(), payload: PAYLOAD }, performance.now());
    assert.ok(this.run.protocol.held.length <= MEMORY, 'memory is kept to its limit');
  }

  /** A forwarder that takes what it wants next, and moves on where the bridge says that it holds nothing older. */
  take(count: number): void {
    const { protocol } = this.run;
    const oldest = protocol.held[0]?.seq;
    if (oldest === undefined) {
      if (!protocol.holdsAnything && this.run.protocol.settledTo >= this.nextWanted) this.nextWanted = protocol.settledTo + 1;
      this.#answer();
      return;
    }
    if (oldest > this.nextWanted) this.nextWanted = oldest;
    let taken = 0;
    for (const { seq } of protocol.held) {
      if (seq < this.nextWanted) continue;
      if (seq > this.nextWanted || taken === count) break;
      this.delivered.add(seq);
      this.nextWanted += 1;
      taken += 1;
    }
    this.#answer();
  }

  /** The readings were sent, and the offer is answered, as far as the protocol says so. */
  #answer(): void {
    const { protocol } = this.run;
    this.#nowMs += 1_000_000;
    const offer = protocol.dueOffer(this.#nowMs);
    // What is not held any more is recorded as missed before the offer is answered.
    if (offer !== undefined) {
      // What an earlier process delivered is stored, although this one never sent it.
      const stored = Math.max(protocol.isRecovered ? this.nextWanted - 1 : protocol.stored, offer.from - 1);
      protocol.received({ queue: QUEUE, stored, sync: offer.sync }, performance.now());
    }
    while (protocol.nextPacket(performance.now()) !== undefined);
    protocol.received({ queue: QUEUE, stored: this.nextWanted - 1 }, performance.now());
  }

  async restart(): Promise<void> {
    this.crashed = true;
    this.disk.fault = undefined;
    const { disk, folder } = this;
    const [found] = await findEarlierRuns({ disk, folder, maxBytes: 4800, gateway: GATEWAY });
    this.files = found?.files ?? new RunFiles({ disk, folder, run: RUN, gateway: GATEWAY, fileBytes: 600 });
    const recovered = {
      first: found?.firstSeq ?? 1,
      last: found?.lastSeq ?? 0,
      mayHaveSent: found?.mayHaveSent,
      dropped: found?.dropped ?? { counts: {}, spans: [] },
    };
    this.run = this.#hold(new OutboxRun({ run: RUN, window: 1000, recovered, random: () => 0.5 }), this.files);
  }

  damage(at: number): void {
    const names = readdirSync(this.folder).filter((name) => name.endsWith('.spill'));
    const name = names[Math.floor(at * names.length)];
    if (name === undefined) return;
    const file = path.join(this.folder, name);
    const bytes = readFileSync(file);
    if (bytes.length === 0) return;
    const index = Math.floor(at * 7919) % bytes.length;
    bytes[index] = (bytes[index] ?? 0) ^ 0x15;
    writeFileSync(file, bytes);
    this.damaged = true;
  }

  async act(act: Act): Promise<void> {
    if (act.do === 'add') for (let i = 0; i < act.count; i += 1) this.add();
    if (act.do === 'spill') this.run.spill();
    if (act.do === 'work') {
      await this.run.work(this.maxBytes);
      assert.ok(this.run.inMemory <= MEMORY, `${this.run.inMemory} in memory`);
    }
    if (act.do === 'take') this.take(act.count);
    if (act.do === 'damage') this.damage(act.at);
    if (act.do === 'fault') this.disk.fault = act.fault;
    if (act.do === 'crash') {
      for (let seq = 1; seq <= this.taken; seq += 1) if (!this.durable.has(seq)) this.gone.add(seq);
      await this.files.closeOpen();
      await this.restart();
    }
    if (act.do === 'end') {
      const couldWrite = await this.run.close().then(
        () => true,
        () => false,
      );
      if (!couldWrite) for (let seq = 1; seq <= this.taken; seq += 1) if (!this.durable.has(seq)) this.gone.add(seq);
      await this.restart();
    }
  }

  async settle(): Promise<void> {
    this.disk.fault = undefined;
    for (let round = 0; round < 500 && this.run.protocol.unsettled; round += 1) {
      await this.run.work(this.maxBytes);
      this.take(7);
    }
  }

  get droppedTotal(): number {
    return Object.values(this.dropped).reduce((sum, count) => sum + count, 0);
  }

  lost(): number[] {
    return Array.from({ length: this.taken }, (_, index) => index + 1).filter(
      (seq) => !this.delivered.has(seq) && !this.gone.has(seq) && !this.droppedSeqs.has(seq),
    );
  }

  async close(): Promise<void> {
    await this.files.closeOpen();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

const common = [
  { weight: 6, arbitrary: fc.record({ do: fc.constant('add' as const), count: fc.integer({ min: 1, max: 30 }) }) },
  { weight: 6, arbitrary: fc.constant({ do: 'work' as const }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('take' as const), count: fc.integer({ min: 1, max: 25 }) }) },
  { weight: 1, arbitrary: fc.constant({ do: 'spill' as const }) },
];
const faultsOf = (...codes: DiskFault['code'][]): fc.WeightedArbitrary<Act> => ({
  weight: 3,
  arbitrary: fc.record({
    do: fc.constant('fault' as const),
    fault: fc.option(
      fc.record({
        calls: fc.uniqueArray(fc.constantFrom(...DISK_CALLS), { minLength: 1, maxLength: 4 }),
        code: fc.constantFrom(...codes),
        times: fc.constantFrom(1, 3, Number.POSITIVE_INFINITY),
        half: fc.boolean(),
      }),
      { nil: undefined },
    ),
  }),
});
const fullDisk = faultsOf('ENOSPC');
const anyFault = faultsOf('EIO', 'EROFS', 'EDQUOT', 'ENOSPC', 'short');
const failingDisk = faultsOf('EIO', 'EROFS', 'EDQUOT', 'short');
const ends = [
  { weight: 1, arbitrary: fc.constant({ do: 'crash' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'end' as const }) },
];
const damage = {
  weight: 2,
  arbitrary: fc.record({ do: fc.constant('damage' as const), at: fc.double({ min: 0, max: 0.999, noNaN: true }) }),
};

async function play(acts: readonly Act[], check: (world: World) => void, maxBytes?: number): Promise<void> {
  const world = new World();
  if (maxBytes !== undefined) world.maxBytes = maxBytes;
  try {
    for (const act of acts) await world.act(act);
    await world.settle();
    assert.ok(!world.run.protocol.unsettled, 'it comes to an end');
    check(world);
  } finally {
    await world.close();
  }
}

const RUNS = { numRuns: 150 };
const acts = (...more: fc.WeightedArbitrary<Act>[]): fc.Arbitrary<Act[]> =>
  fc.array(fc.oneof(...(common as fc.WeightedArbitrary<Act>[]), ...more), { minLength: 5, maxLength: 50 });

test('while the disk takes what it is given, every reading is delivered, none dropped', async () => {
  await fc.assert(
    fc.asyncProperty(acts(), async (list) => {
      await play(list, (world) => {
        assert.deepEqual(world.lost(), []);
        assert.equal(world.droppedTotal, 0);
        assert.equal(world.delivered.size, world.taken);
      });
    }),
    RUNS,
  );
});

test('a disk that fails without being full: nothing on it is dropped, and what memory cannot hold is counted, seq by seq', async () => {
  await fc.assert(
    fc.asyncProperty(acts(failingDisk), async (list) => {
      await play(list, (world) => {
        assert.deepEqual(world.lost(), []);
        assert.deepEqual([...world.evicted], [], 'these were on disk');
        assert.equal(world.delivered.size + world.droppedSeqs.size, world.taken);
        assert.equal(world.dropped['disk_failed'], world.droppedSeqs.size);
        const counts = world.droppedSeqs.size === 0 ? {} : { disk_failed: world.droppedSeqs.size };
        assert.deepEqual(world.run.protocol.dropped.counts, counts);
      });
    }),
    RUNS,
  );
});

test('a disk without space: the oldest make room, each is counted, and the rest is delivered', async () => {
  await fc.assert(
    fc.asyncProperty(acts(fullDisk), async (list) => {
      await play(list, (world) => {
        assert.deepEqual(world.lost(), []);
        assert.equal(world.delivered.size + world.droppedSeqs.size, world.taken);
        assert.equal(world.dropped['outbox_full'], world.droppedSeqs.size);
      });
    }),
    RUNS,
  );
});

test('at the limit on disk the oldest are evicted, counted, and the rest is delivered', async () => {
  await fc.assert(
    fc.asyncProperty(acts(anyFault), async (list) => {
      await play(
        list,
        (world) => {
          assert.deepEqual(world.lost(), []);
          assert.equal(world.delivered.size + world.droppedSeqs.size, world.taken);
        },
        3000,
      );
    }),
    RUNS,
  );
});

test('a bridge killed or ended at any moment: all that was in a file is delivered by the next one', async () => {
  await fc.assert(
    fc.asyncProperty(acts(anyFault, ...ends), async (list) => {
      await play(list, (world) => {
        assert.deepEqual(world.lost(), []);
      });
    }),
    RUNS,
  );
});

/** Found by seed 803858435: what memory held was dropped with what could not be read beyond it. */
const DAMAGE_BEYOND_MEMORY: Act[] = [
  { do: 'add', count: 13 },
  { do: 'work' },
  { do: 'take', count: 6 },
  { do: 'damage', at: 0.5083975249400177 },
  { do: 'work' },
  { do: 'take', count: 1 },
  { do: 'add', count: 2 },
];

test('damage on disk costs the readings that it hit, they are counted by seq, and nothing stops', async () => {
  await fc.assert(
    fc.asyncProperty(acts(damage), async (list) => {
      await play(list, (world) => {
        assert.deepEqual(world.lost(), []);
        assert.equal(world.delivered.size + world.droppedTotal, world.taken);
        assert.equal(world.dropped['damaged'], world.droppedTotal);
      });
    }),
    { ...RUNS, examples: [[DAMAGE_BEYOND_MEMORY]] },
  );
});

test('damage in one place before a restart: the next process counts by seq what it cannot read', async () => {
  const before = fc.array(fc.oneof(...(common as fc.WeightedArbitrary<Act>[])), { minLength: 3, maxLength: 30 });
  await fc.assert(
    fc.asyncProperty(before, fc.double({ min: 0, max: 0.999, noNaN: true }), async (list, at) => {
      await play([...list, { do: 'crash' }, { do: 'damage', at }, { do: 'crash' }], (world) => {
        assert.deepEqual(world.lost(), []);
      });
    }),
    RUNS,
  );
});
