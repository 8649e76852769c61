/** `npm run docs`: regenerates the documentation tables, and the page's table of a strap's states, from the code. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';
import { strapStatesModule, TABLES, withTable } from './tables.ts';

for (const { file, table } of TABLES) {
  const path = fileURLToPath(new URL(`../../${file}`, import.meta.url));
  writeFileSync(path, withTable(readFileSync(path, 'utf8'), table()));
  console.log(file);
}

const PAGE = 'admin-api/page/strap-states.js';
const page = fileURLToPath(new URL(`../../${PAGE}`, import.meta.url));
writeFileSync(page, await format(strapStatesModule(), { ...(await resolveConfig(page)), filepath: page }));
console.log(PAGE);
