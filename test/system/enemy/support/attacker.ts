/** The process of an attacker: runs the attack that its first argument names on the target in the second one, until it is killed. */
import { ATTACKS, type Target } from './attacks.ts';

const [name, target] = process.argv.slice(2);
const attack = ATTACKS.find((entry) => entry.name === name);
if (attack === undefined || target === undefined) throw new Error(`no attack ${name}`);
console.log(JSON.stringify({ event: 'attacking' }));
await attack.run(JSON.parse(target) as Target);
