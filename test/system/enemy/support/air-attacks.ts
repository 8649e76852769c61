/** Attacks by radio: what advertises, and straps that are connected and behave as badly as they can. */
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { advertisingData } from '../../../ble-radio/behaviours/behaviour.ts';
import type { Attack, Blame, Target } from './attack.ts';

type Operate = (op: string, fields?: Record<string, unknown>) => Promise<void>;

/** Straps of the attackers have numbers from here on. Each attack has its own: those of an earlier one may have been let go for a while. */
const FIRST = 200;
const COUNT = 3;
const ATTACKS_MAX = 10;
const idsOf = (attack: number): number[] => Array.from({ length: COUNT }, (_, index) => FIRST + COUNT * attack + index);
/** Flags: 16 bit heart rate, RR intervals. Then 72 bpm, and as many RR intervals as an MTU of 256 holds. */
const HUGE = `114800${'0004'.repeat(124)}`;
/** L2CAP: Connection Parameter Update Request, with intervals that nobody can keep (Core, volume 3 part A, 4.20). */
const CONNECTION_PARAMETERS = '120108000600060000000a00';
const SIGNALING = 5;
const SECURITY_MANAGER = 6;
const SECURITY_REQUEST = '0b2d';
/** An indication of Service Changed, of all handles (Core, volume 3 part G, 7.1). */
const SERVICES_CHANGED = '1d03000100ffff';

/** The operations of the virtual radio (test/ble-radio/support/hr_farm.py). Those that fail are ignored: a strap may just have left. */
async function operator(port: number): Promise<{ operate: Operate; close: () => void }> {
  const socket = connect(port, '127.0.0.1');
  const waiting: (() => void)[] = [];
  createInterface({ input: socket }).on('line', () => waiting.shift()?.());
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  const operate: Operate = async (op, fields = {}) =>
    await new Promise((resolve) => {
      waiting.push(resolve);
      socket.write(`${JSON.stringify({ op, ...fields })}\n`);
    });
  return { operate, close: () => socket.destroy() };
}

async function leave({ air }: Target): Promise<void> {
  const { operate, close } = await operator(air);
  await operate('flood', { rate: 0 });
  for (let attack = 0; attack < ATTACKS_MAX; attack += 1) for (const id of idsOf(attack)) await operate('vanish', { id });
  close();
}

/** Straps that are connected like any other, and then do this over and over. */
const straps =
  (
    attack: number,
    spec: Record<string, unknown>,
    everyMs: number,
    next: (operate: Operate, id: number, turn: number) => Promise<void>,
  ) =>
  async ({ air }: Target): Promise<void> => {
    const { operate } = await operator(air);
    const ids = idsOf(attack);
    for (const id of ids) await operate('add', { id, name: `Enemy${id}`, period: 0.5, ...spec });
    for (let turn = 0; ; turn += 1) {
      for (const id of ids) await next(operate, id, turn);
      await sleep(everyMs);
    }
  };

const atOnce = async (send: () => Promise<void>): Promise<void> => void (await Promise.all(Array.from({ length: 10 }, send)));

const CHANGES: readonly Blame[] = [{ check: 'strap services', reason: /^enemy2\d\d-/ }];
const MISBEHAVES: readonly Blame[] = [{ check: 'straps', reason: /enemy2\d\d-/ }];

/** The flood is the last one: while addresses have to wait, the straps of the others would not be connected. */
export const AIR_ATTACKS: readonly Attack[] = [
  {
    name: 'sends huge heart rates as fast as the radio allows',
    named: MISBEHAVES,
    run: straps(0, { period: 0.01, repeat: 5, values: [HUGE] }, 1000, async () => undefined),
    end: leave,
  },
  {
    name: 'changes its name without end',
    named: [],
    run: straps(1, { accepts: false, adv_ms: 20 }, 20, async (operate, id, turn) => {
      await operate('data', { id, adv: advertisingData({ name: `Enemy ${id} ${turn}`, uuids: ['180d'] }) });
    }),
    end: leave,
  },
  {
    name: 'asks for other connection parameters, and for pairing, without end',
    named: MISBEHAVES,
    run: straps(2, {}, 10, async (operate, id) => {
      await atOnce(async () => await operate('pdu', { id, cid: SIGNALING, hex: CONNECTION_PARAMETERS }));
      await operate('pdu', { id, cid: SECURITY_MANAGER, hex: SECURITY_REQUEST });
    }),
    end: leave,
  },
  {
    name: 'tells of changed services without end',
    named: MISBEHAVES,
    run: straps(3, {}, 10, async (operate, id) => {
      await atOnce(async () => await operate('pdu', { id, hex: SERVICES_CHANGED }));
      await operate('forget', { id });
    }),
    end: leave,
  },
  {
    name: 'has other services at each connection',
    named: CHANGES,
    run: straps(4, {}, 400, async (operate, id, turn) => {
      await operate('vanish', { id });
      const shapes = [
        { no_hrs: true },
        { decoy: true },
        { uuid128: true },
        { indicates: true },
        { battery: null, energy: false },
      ];
      await operate('add', { id, name: `Enemy${id}`, period: 0.5, ...shapes[turn % shapes.length] });
    }),
    end: leave,
  },
  {
    name: 'advertises 200 new addresses a second',
    named: [{ check: 'unknown straps', reason: /^\d+ unknown addresses/ }],
    run: async ({ air }) => {
      const { operate } = await operator(air);
      await operate('flood', { rate: 200 });
      await sleep(600_000);
    },
    end: leave,
  },
];
