import { contractSuite } from './support/contract-suite.ts';

// kinesis-local takes half a minute for what it is known to do otherwise: the long tests look at that.
contractSuite({ known: false });
