import { ADVERTISEMENTS, ADVERTISEMENT_SETTINGS } from './advertisements.ts';
import { runBehaviours } from './run-behaviours.ts';

runBehaviours('what straps advertise', ADVERTISEMENTS, ADVERTISEMENT_SETTINGS);
