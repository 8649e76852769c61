import { VALUES } from './values.ts';
import { runBehaviours, sampleOf } from './run-behaviours.ts';

runBehaviours('what straps send', sampleOf(VALUES));
