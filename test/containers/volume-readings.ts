/** Reads the local stream and prints which of the readings that a file lists are missing; exit code 1 if any is. */
import { readFileSync } from 'node:fs';
import { readAll } from '../system/pipeline/support/stream.ts';

const [file = ''] = process.argv.slice(2);
const { readings } = JSON.parse(readFileSync(file, 'utf8')) as { readings: string[] };
const present = new Set((await readAll('http://127.0.0.1:4567', 'hr-data-stream')).map(({ run, seq }) => `${run} ${seq}`));
const missing = readings.filter((reading) => !present.has(reading));
console.log(`${readings.length} readings, ${missing.length} missing: ${missing.slice(0, 10).join(', ')}`);
if (readings.length === 0 || missing.length > 0) process.exitCode = 1;
