/** `npm run docs`: regenerates the documentation tables from the code. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { TABLES, withTable } from './tables.ts';

for (const { file, table } of TABLES) {
  const path = fileURLToPath(new URL(`../../${file}`, import.meta.url));
  writeFileSync(path, withTable(readFileSync(path, 'utf8'), table()));
  console.log(file);
}
