/** A process of fuzz.ts: format, number of files, ms and first seed are its arguments; prints the result as JSON. */
import { FORMATS, fuzz } from './fuzz.ts';

const [name, files, ms, seed] = process.argv.slice(2);
const format = FORMATS.find((known) => known === name);
if (format === undefined) throw new Error(`no format ${name}`);
console.log(JSON.stringify(await fuzz(format, { files: Number(files), ms: Number(ms) }, Number(seed))));
