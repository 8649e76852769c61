/** What each attack costs the box and the attacker. `npm run bench:attacks` makes the table in SECURITY.md of it. */
import { appendFileSync } from 'node:fs';

export interface AttackCost {
  name: string;
  /** Parts of one processor: of all services before and during the attack, and of the attacker. */
  before: number;
  during: number;
  attacker: number;
  /** The most memory that the gateway ever had so far, and what the system held for clients beside it. */
  gatewayMib: number;
  systemMib: number;
}

/** Adds a line to the file that ENEMY_COSTS names, if it names one. */
export function recordCost(cost: AttackCost): void {
  const file = process.env['ENEMY_COSTS'] ?? '';
  if (file !== '') appendFileSync(file, `${JSON.stringify(cost)}\n`);
}
