import { ANSWERS } from './answers.ts';
import { runBehaviours, sampleOf } from './run-behaviours.ts';

runBehaviours('what straps answer', sampleOf(ANSWERS));
