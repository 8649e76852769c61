import { NAME_SETTINGS, NAMES } from './names.ts';
import { runBehaviours, sampleOf } from './run-behaviours.ts';

runBehaviours('what straps call themselves', sampleOf(NAMES), NAME_SETTINGS);
