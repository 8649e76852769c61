/** Runs cases, and prints what became of each. A box that a case broke is replaced. */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import type { TestContext } from 'node:test';
import { messageOf } from '../../../../service/errors/errors.ts';
import { seeded } from '../../../support/seeded.ts';
import { FaultBox } from './fault-box.ts';
import { nameOf, tableOf, type CaseResult, type FaultCase } from './fault-case.ts';
import { runCase } from './run-case.ts';
import type { Target } from './targets.ts';

export interface PlannedCase {
  target: Target;
  fault: FaultCase;
}

/** Boxes side by side: a case mostly waits. One after the other, the cases of a duration would take hours. */
export const BOXES = 6;

/** Runs cases in random order on several boxes. The test that calls it needs the option `concurrency: BOXES`. */
export async function faultMatrix(t: TestContext, planned: readonly PlannedCase[], seed = randomInt(1_000_000)): Promise<void> {
  t.diagnostic(`seed ${seed}`);
  const chance = seeded(seed);
  const inOrder = planned
    .map((each) => ({ each, at: chance() }))
    .sort((a, b) => a.at - b.at)
    .map(({ each }) => each);
  await Promise.all(
    Array.from({ length: BOXES }, (_, box) => inOrder.filter((_each, at) => at % BOXES === box)).map(
      async (cases, box) =>
        await t.test(`box ${box + 1}, ${cases.length} cases`, async (each) => void (await faultSuite(each, cases))),
    ),
  );
}

/** Runs cases one after another on one box. */
export async function faultSuite(t: TestContext, planned: readonly PlannedCase[]): Promise<CaseResult[]> {
  const results: CaseResult[] = [];
  let box: FaultBox | undefined;
  for (const { target, fault } of planned) {
    box ??= await FaultBox.start(t);
    if (box === undefined) return results;
    try {
      results.push(await runCase(box, target, fault));
    } catch (error) {
      const broken = [`the case could not be run: ${messageOf(error)}`];
      results.push({ target: target.name, fault, hits: 0, secured: 0, named: [], exits: [], counted: {}, healedMs: 0, broken });
    }
    const last = results.at(-1);
    if (process.env['FAULTS_LOG'] !== undefined && last !== undefined) console.log(tableOf([last]).split('\n')[0]);
    if ((last?.broken.length ?? 0) > 0) {
      await box.close();
      box = undefined;
    }
  }
  await box?.close();
  t.diagnostic(`\n${tableOf(results)}`);
  const broken = results
    .filter((result) => result.broken.length > 0)
    .map((result) => `${result.target}: ${nameOf(result.fault)}: ${result.broken.join('; ')}`);
  assert.deepEqual(broken, []);
  return results;
}
