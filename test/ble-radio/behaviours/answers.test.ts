import { ANSWERS } from './answers.ts';
import { runBehaviours } from './run-behaviours.ts';

runBehaviours('what straps answer', ANSWERS);
