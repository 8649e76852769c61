/** `npm run build:consumer`: packs the Lambda consumer as a zip file below dist/. `-- --on-reading <module>` includes your own function. */
import { statSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { bundleConsumer } from '../cloud/consumer/bundle.ts';

const { values } = parseArgs({
  options: { 'on-reading': { type: 'string' }, folder: { type: 'string', default: 'dist/consumer' } },
});
const { zip } = await bundleConsumer(
  values.folder,
  values['on-reading'] === undefined ? {} : { onReading: values['on-reading'] },
);
console.log(`${zip} (${Math.ceil(statSync(zip).size / 1024)} KiB)`);
console.log(`aws s3 cp ${zip} s3://<a bucket in the stream's region>/`);
console.log(`then deploy cloud/template.yaml with ConsumerCodeBucket=<that bucket> ConsumerCodeKey=${path.basename(zip)}`);
