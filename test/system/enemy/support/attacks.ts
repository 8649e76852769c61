/** All attacks, in the order in which they are run. */
import { AIR_ATTACKS } from './air-attacks.ts';
import type { Attack } from './attack.ts';
import { HTTP_ATTACKS } from './http-attacks.ts';
import { MQTT_ATTACKS } from './mqtt-attacks.ts';

export const ATTACKS: readonly Attack[] = [...AIR_ATTACKS, ...MQTT_ATTACKS, ...HTTP_ATTACKS];
