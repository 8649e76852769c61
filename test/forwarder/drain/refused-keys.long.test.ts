import { test } from 'node:test';
import { sharedStream } from '../../support/local-stream.ts';
import { assertOrderOfDevices } from './support/drain-bench.ts';
import { ManyRefused, startRefusedBench } from './support/refused-bench.ts';

const unlimited = sharedStream();

for (const mode of ['records', 'aggregated'])
  test(`${mode}: of more refused keys than readings are read ahead, those that recover are shipped while the others fail`, async (t) => {
    const bench = await startRefusedBench(t, await unlimited(), {}, { environment: { KINESIS_MODE: mode } });
    const law = new ManyRefused(bench, 9500);
    await law.othersAreShipped();
    await law.halfRecover();
    t.diagnostic(`${await law.allRecover()} readings`);
    if (mode === 'aggregated') assertOrderOfDevices(await bench.read());
  });
