import { contractSuite } from './support/contract-suite.ts';

contractSuite({ known: true });
