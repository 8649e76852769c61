/** What each attack costs the box and the attacker, for the table in SECURITY.md (`npm run bench:docs`). */
import { finish, row, type Row } from '../../../../bench/support/result.ts';
import { usageOf } from '../../../../bench/support/process-usage.ts';

/** CPU seconds of some processes so far. */
export const cpuSecondsOf = (pids: readonly number[]): number => pids.reduce((sum, pid) => sum + usageOf(pid).cpuSeconds, 0);

export interface AttackCost {
  name: string;
  /** Parts of one processor: of all services before and during the attack, and of the attacker. */
  before: number;
  during: number;
  attacker: number;
  /** The most memory that the gateway ever had so far, and what the system holds for clients beside it. */
  gatewayMib: number;
  systemMib: number;
}

const percent = (part: number): number => Math.round(100 * part);

export class AttackCosts {
  readonly #rows: Row[] = [];

  add({ name, before, during, attacker, gatewayMib, systemMib }: AttackCost): void {
    this.#rows.push(
      row(name, [
        {
          'box before, CPU %': percent(before),
          'box, CPU %': percent(during),
          'attacker, CPU %': percent(attacker),
          'gateway, MiB': Math.round(gatewayMib),
          'system, MiB': Math.round(systemMib),
        },
      ]),
    );
  }

  /** Writes bench/results/attacks.json. */
  save(): void {
    finish({
      bench: 'attacks',
      title: 'What attacks cost',
      note:
        'CPU in percent of one processor: all services together in the seconds before the attack and during it, and the attacker, who gets ' +
        '50 % at most. Memory: the most that the gateway had so far, attacks before this one included, and what the system held for clients.',
      rows: this.#rows,
    });
  }
}
