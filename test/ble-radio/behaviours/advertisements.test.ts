import { ADVERTISEMENTS, ADVERTISEMENT_SETTINGS } from './advertisements.ts';
import { runBehaviours, sampleOf } from './run-behaviours.ts';

runBehaviours('what straps advertise', sampleOf(ADVERTISEMENTS), ADVERTISEMENT_SETTINGS);
