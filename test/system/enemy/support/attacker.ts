/**
 * The process of an attacker: runs the attack that its first argument names on the target in the second one, from the first input on until
 * it is killed.
 */
import { once } from 'node:events';
import type { Target } from './attack.ts';
import { ATTACKS } from './attacks.ts';

const [name, target] = process.argv.slice(2);
const attack = ATTACKS.find((entry) => entry.name === name);
if (attack === undefined || target === undefined) throw new Error(`no attack ${name}`);
console.log('ready');
await once(process.stdin, 'data');
await attack.run(JSON.parse(target) as Target);
