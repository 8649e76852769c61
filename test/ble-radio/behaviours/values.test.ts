import { VALUES } from './values.ts';
import { runBehaviours } from './run-behaviours.ts';

runBehaviours('what straps send', VALUES);
