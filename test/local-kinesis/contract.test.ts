import { contractSuite } from './support/contract-suite.ts';

// kinesis-local needs half a minute for the requests that it is known to treat differently: the long tests cover those.
contractSuite({ known: false });
