/**
 * One case: fill, begin the fault, work, drain, end the fault, heal. Laws: what was stored or spilled before the fault, and what got a
 * PUBACK, is in the stream; what else is missing is counted by cause; nothing is set aside; no service hangs; health names the trouble
 * while it lasts and is ok again within a minute.
 */
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../../../../service/errors/errors.ts';
import { eventually } from '../../../support/eventually.ts';
import type { UnaskedExit } from '../../support/product-box.ts';
import type { FaultBox } from './fault-box.ts';
import { failingCalls, type CaseResult, type FaultCase } from './fault-case.ts';
import { setAside, work, type Target } from './targets.ts';

const ONCE_LIMIT_MS = 2500;
/** A start on a loaded machine. */
const START_LIMIT_MS = 30_000;
const LONG_MS = 8000;
const FOR_EVER_MS = 4000;
const HEALED_WITHIN_MS = 60_000;
/** Statuses are some seconds late, and the last readings on their way. Counted from the last progress. */
const COUNTED_WITHIN_MS = 20_000;
/** Without progress for this long, the target is in trouble. */
const STANDSTILL_MS = 3000;
const STOP_WITHIN_MS = 15_000;
/** Codes that name something else than the failing disk: services that this suite ends, and streams that it disturbs. */
const NOT_THE_DISK = new Set([
  'service_offline',
  'broker_away',
  'no_acknowledgement',
  'unavailable',
  'service_unknown',
  'error',
  '',
]);

/** The only causes of losses here: no queue file is replaced, and none is damaged. */
const FULL = new Set(['outbox_full', 'disk_failed', 'queue_full', 'not_accepting']);

interface Losses {
  evicted: number;
  missed: number;
  dead: number;
  causes: Record<string, number>;
}

async function lossesOf(box: FaultBox): Promise<Losses> {
  const { ledger, causes } = await box.product.queue();
  return {
    evicted: ledger.evicted,
    missed: ledger.missed,
    dead: ledger.dead,
    causes: { ...causes.evicted, ...causes.missed },
  };
}

const difference = (after: Record<string, number>, before: Record<string, number>): Record<string, number> =>
  Object.fromEntries(
    Object.entries(after)
      .map(([cause, count]) => [cause, count - (before[cause] ?? 0)] as const)
      .filter(([, count]) => count > 0),
  );

/** Collects codes of failing checks, and how long the target made no progress, until it is stopped. */
function watchHealth(box: FaultBox, target: Target): { named: Set<string>; standstillMs: () => number; stop(): void } {
  const named = new Set<string>();
  let reached = Number.NEGATIVE_INFINITY;
  let progressAt = performance.now();
  let standstillMs = 0;
  const timer = setInterval(() => {
    const progress = target.progress?.(box) ?? reached;
    if (progress > reached) progressAt = performance.now();
    reached = Math.max(reached, progress);
    standstillMs = Math.max(standstillMs, performance.now() - progressAt);
    void box.product.failing().then(
      (checks) => {
        for (const { code } of checks) if (!NOT_THE_DISK.has(code)) named.add(code);
      },
      () => {},
    );
  }, 250);
  return { named, standstillMs: () => standstillMs, stop: () => clearInterval(timer) };
}

const isStarted = (box: FaultBox, { part }: Target): boolean =>
  box.product
    .running(part)
    ?.lines()
    .some(({ event }) => event === 'started' || event === 'listening') === true;

/** Ends the fault: of a lasting one the service is stopped under it, and started without it. Returns a broken law, if any. */
async function endFault(box: FaultBox, target: Target, fault: FaultCase, begunAt: number): Promise<string[]> {
  let startedAt = begunAt;
  const faults = box.faults.get(target.part);
  // A process that starts takes its time until it comes to its files: the fault lasts from then on.
  if (fault.moment === 'start') {
    await eventually(() => (faults?.hits ?? 0) > 0 || isStarted(box, target), { withinMs: START_LIMIT_MS }).catch(
      () => undefined,
    );
    startedAt = performance.now();
  }
  if (fault.duration === 'once') {
    await eventually(() => (faults?.hits ?? 0) > 0, { withinMs: ONCE_LIMIT_MS }).catch(() => undefined);
    faults?.end();
    return [];
  }
  const lasts = fault.duration === '8 s' ? LONG_MS : FOR_EVER_MS;
  await sleep(Math.max(0, lasts - (performance.now() - startedAt)));
  if (fault.duration === '8 s') {
    faults?.end();
    return [];
  }
  const exit = await Promise.race([box.product.stop(target.part), sleep(STOP_WITHIN_MS, 'still running')]);
  const broken = exit === 0 || exit === undefined ? [] : [`stopped under the fault, it ended with ${exit}`];
  if (exit === 'still running') await box.product.stop(target.part, 'SIGKILL');
  faults?.end();
  box.product.launch(target.part);
  return broken;
}

/** Waits until a number is at most zero, or has not become smaller for a time. */
async function untilGone(left: () => Promise<number>, withinMs: number): Promise<void> {
  let least = Number.POSITIVE_INFINITY;
  for (let since = performance.now(); performance.now() - since < withinMs;) {
    const now = await left().catch(() => Number.POSITIVE_INFINITY);
    if (now <= 0) return;
    if (now < least) since = performance.now();
    least = Math.min(least, now);
    await sleep(250);
  }
}

/** Waits until everything secured and acknowledged is in the stream, but for what may be evicted. Returns what is not. */
async function missing(box: FaultBox, secured: ReadonlySet<string>, allowed: () => Promise<number>): Promise<string[]> {
  const acknowledged = [...box.publisher.acknowledged];
  const absent = (): string[] => [
    ...[...secured].filter((key) => !box.inStream.has(key)),
    ...acknowledged.filter((key) => !box.inStreamByTime.has(key)),
  ];
  const left = async (): Promise<number> => {
    await box.readStream().catch(() => undefined);
    return absent().length - (await allowed().catch(() => 0));
  };
  await untilGone(left, HEALED_WITHIN_MS);
  return absent();
}

/** Readings that were live and are neither in the stream nor counted as lost since `before`. */
async function uncounted(box: FaultBox, from: number, to: number, before: Losses): Promise<number> {
  const live = box.witness.live.slice(from, to);
  const silent = async (): Promise<number> => {
    await box.readStream();
    const { evicted, missed, dead } = await lossesOf(box);
    const counted = evicted + missed + dead - before.evicted - before.missed - before.dead;
    return live.filter((reading) => !box.holds(reading)).length - counted;
  };
  await untilGone(silent, COUNTED_WITHIN_MS);
  return Math.max(0, await silent());
}

/** What a case is compared with. */
interface Before {
  losses: Losses;
  exits: number;
  aside: number;
  live: number;
  secured: ReadonlySet<string>;
}

async function fill(box: FaultBox, target: Target): Promise<Before> {
  const { product, witness } = box;
  const before = {
    losses: await lossesOf(box),
    exits: product.unaskedExits.length,
    aside: setAside(product.folder).length,
    live: witness.live.length,
  };
  await target.prepare(box);
  return { ...before, secured: await target.secured(box) };
}

/** Begins the fault at its moment, works, drains, and ends the fault. Returns broken laws. */
async function fail(box: FaultBox, target: Target, fault: FaultCase): Promise<string[]> {
  const { product } = box;
  const broken: string[] = [];
  const calls = failingCalls(fault);
  let startedAt = performance.now();
  const begin = (): void => {
    startedAt = performance.now();
    box.faults.get(target.part)?.begin({
      pattern: path.join(product.folder, target.pattern),
      calls,
      kind: fault.kind,
      ...(fault.duration === 'once' ? { count: calls.length } : {}),
    });
  };
  if (fault.moment === 'start') {
    const exit = await product.stop(target.part);
    if (exit !== 0) broken.push(`it ended with ${exit} before the fault`);
    begin();
    product.launch(target.part);
  } else if (fault.moment === 'work') begin();
  await work();
  if (fault.moment === 'drain') begin();
  await target.drain(box);
  return [...broken, ...(await endFault(box, target, fault, startedAt))];
}

/** Waits until all is well again. Returns broken laws. */
async function heal(box: FaultBox, fault: FaultCase, { losses, secured }: Before): Promise<string[]> {
  const broken: string[] = [];
  // Only a full disk may evict what is stored, oldest first, and counts it.
  const evicted = async (): Promise<number> => {
    const { outbox_full: full = 0, queue_full: queue = 0 } = difference((await lossesOf(box)).causes, losses.causes);
    return fault.kind === 'ENOSPC' && fault.duration !== 'once' ? full + queue : 0;
  };
  const lost = await missing(box, secured, evicted);
  if (lost.length > (await evicted()))
    broken.push(`${lost.length} of ${secured.size} secured are not in the stream: ${lost.slice(0, 3).join(', ')}`);
  // The status that counts a loss is some seconds late, so it is read each time.
  const excuse = async (): Promise<void> => {
    for (const cause of Object.keys(difference((await lossesOf(box)).causes, losses.causes))) box.excuse(cause);
  };
  try {
    await box.untilHealthy(HEALED_WITHIN_MS, excuse);
  } catch (error) {
    const cause = error instanceof Error ? error.cause : undefined;
    broken.push(`not healthy again: ${messageOf(cause ?? error)}`);
  }
  return broken;
}

/** A service that cannot start says why, and its supervisor starts it again; one that runs does not end. */
const endedWrongly = (exits: readonly UnaskedExit[], fault: FaultCase): string[] =>
  exits
    .filter(({ codes }) => codes.length === 0 || fault.moment !== 'start')
    .map(({ part, exit, codes, output }) => `${part} ended with ${exit} ${codes.join(',')}: ${output.slice(-600)}`);

export async function runCase(box: FaultBox, target: Target, fault: FaultCase): Promise<CaseResult> {
  const { product } = box;
  const before = await fill(box, target);
  const health = watchHealth(box, target);
  const broken = await fail(box, target, fault);
  const hits = box.faults.get(target.part)?.hits ?? 0;
  const liveTo = box.witness.live.length;
  health.stop();
  const healing = performance.now();
  broken.push(...(await heal(box, fault, before)));
  const healedMs = performance.now() - healing;
  const silent = await uncounted(box, before.live, liveTo, before.losses);
  // What only memory held is lost if the disk takes nothing until the end of the process, which logs it.
  if (silent > 0 && fault.duration !== 'for ever') broken.push(`${silent} live readings are neither in the stream nor counted`);
  const exits = product.unaskedExits.slice(before.exits);
  const isNamed = health.named.size > 0 || exits.some(({ codes }) => codes.length > 0);
  // Calls that fail without any consequence are no trouble: of the queue's files, SQLite needs no stat while they are open.
  const isHarmed = health.standstillMs() > STANDSTILL_MS;
  if (hits > 1 && fault.duration === '8 s' && fault.kind !== 'short' && !isNamed && isHarmed)
    broken.push('health did not name the trouble');
  const aside = setAside(product.folder);
  if (aside.length > before.aside) broken.push(`set aside: ${aside.join(', ')}`);
  broken.push(...endedWrongly(exits, fault));
  const counted = difference((await lossesOf(box)).causes, before.losses.causes);
  for (const cause of Object.keys(counted).filter((each) => !FULL.has(each)))
    broken.push(`${counted[cause]} are counted as ${cause}`);
  return {
    target: target.name,
    fault,
    hits,
    secured: before.secured.size,
    named: [...health.named],
    exits: exits.map(({ part, exit, codes }) => `${part}:${exit}:${codes.join('+')}`),
    counted,
    healedMs,
    broken,
  };
}
