/**
 * npm run bench:guard, for CI: fails if a ratio between the product and a baseline measured in the same run falls more than 25 % below the
 * committed figures (bench/results/). Each measurement takes seconds and has three tries, because other load on a shared machine
 * sometimes slows down only one of the two.
 */
import { existsSync, readFileSync } from 'node:fs';
import { compile } from './support/child.ts';
import { GUARDED } from './support/guarded.ts';
import {
  acceptedByOne,
  acceptedSeparately,
  hopOverAedes,
  productMicroseconds,
  readingsAWakeUp,
  shipping,
} from './support/measures.ts';
import type { BenchResult } from './support/result.ts';
import { median } from './support/statistics.ts';

const TRIES = 3;
const SECONDS = 3;
const CALM_SECONDS = 10;
const LEAST_SHARE = 0.75;

function committed(): Record<string, number> {
  const figures: Record<string, number> = {};
  for (const bench of ['accept', 'ship', 'footprint']) {
    const file = new URL(`./results/${bench}.json`, import.meta.url);
    if (existsSync(file)) Object.assign(figures, (JSON.parse(readFileSync(file, 'utf8')) as BenchResult).guarded);
    else console.log(`no committed figures for ${bench}: run npm run bench:${bench}`);
  }
  return figures;
}

async function measured(): Promise<Record<string, number>> {
  const hop = await hopOverAedes(SECONDS);
  const separate = productMicroseconds(await acceptedSeparately(1, SECONDS));
  const one = productMicroseconds(await acceptedByOne(1, SECONDS));
  const shipped = (await shipping('aggregated', SECONDS))['CPU µs, accepted and shipped'] ?? Number.NaN;
  // Measured before and after, so that other load on the machine affects both sides.
  const baseline = median([hop, await hopOverAedes(SECONDS)].map(productMicroseconds));
  const calm = await readingsAWakeUp(CALM_SECONDS);
  return {
    [GUARDED.calm]: calm,
    [GUARDED.separate]: baseline / separate,
    [GUARDED.one]: baseline / one,
    [GUARDED.shipped]: baseline / shipped,
  };
}

compile();
const wanted = committed();
const failing = new Set(Object.keys(wanted));
for (let tries = 1; tries <= TRIES && failing.size > 0; tries += 1) {
  const now = await measured();
  for (const [name, before] of Object.entries(wanted)) {
    const share = (now[name] ?? 0) / before;
    if (share >= LEAST_SHARE) failing.delete(name);
    console.log(
      `try ${tries}: ${name}: ${(now[name] ?? Number.NaN).toFixed(2)}, committed ${before.toFixed(2)} (${(share * 100).toFixed(0)} %)`,
    );
  }
}
for (const name of failing) console.log(`FAILED: ${name} has fallen by more than ${(1 - LEAST_SHARE) * 100} % in ${TRIES} tries`);
process.exitCode = failing.size === 0 && Object.keys(wanted).length > 0 ? 0 : 1;
