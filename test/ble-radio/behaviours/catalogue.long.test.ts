import { ADVERTISEMENTS, ADVERTISEMENT_SETTINGS } from './advertisements.ts';
import { ANSWERS } from './answers.ts';
import { NAME_SETTINGS, NAMES } from './names.ts';
import { runBehaviours } from './run-behaviours.ts';
import { VALUES } from './values.ts';

runBehaviours('what straps answer, all of it', ANSWERS);
runBehaviours('what straps send, all of it', VALUES);
runBehaviours('what straps advertise, all of it', ADVERTISEMENTS, ADVERTISEMENT_SETTINGS);
runBehaviours('what straps call themselves, all of it', NAMES, NAME_SETTINGS);
