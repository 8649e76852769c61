/** npm run bench:docs: writes the tables in docs/performance.md and SECURITY.md from the JSON in bench/results/. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { markdownOf, type BenchResult } from './support/result.ts';

const DOCUMENTS = ['docs/performance.md', 'SECURITY.md'];

function section(bench: string): string {
  const file = fileURLToPath(new URL(`./results/${bench}.json`, import.meta.url));
  if (!existsSync(file)) return `Not measured yet: \`npm run bench:${bench}\`.`;
  const result = JSON.parse(readFileSync(file, 'utf8')) as BenchResult;
  const { machine, versions } = result;
  const runs = Math.max(...result.rows.flatMap(({ figures }) => Object.values(figures).map(({ runs: all }) => all.length)));
  const words = [
    `hr-gateway ${result.product}`,
    `Node ${machine.node.slice(1)}`,
    ...Object.entries(versions).map(([name, version]) => `${name} ${version}`),
    `${machine.cores} cores (${machine.cpu})`,
    `${machine.memory_gib} GiB`,
    `Linux ${machine.kernel}`,
  ];
  const takenAt = `${result.taken_at.slice(0, 16).replace('T', ' ')} UTC`;
  const spread = runs === 1 ? 'one run' : `median (minimum–maximum) of ${runs} runs`;
  return `${result.note}\n\n${markdownOf(result)}\n\n${takenAt}, ${spread}; ${words.join(', ')}.`;
}

for (const name of DOCUMENTS) {
  const document = fileURLToPath(new URL(`../${name}`, import.meta.url));
  const text = readFileSync(document, 'utf8');
  writeFileSync(
    document,
    text.replaceAll(
      /<!-- bench:([a-z]+) -->\n[\s\S]*?<!-- \/bench -->/g,
      (_all, bench: string) => `<!-- bench:${bench} -->\n${section(bench)}\n<!-- /bench -->`,
    ),
  );
  console.log(`${name} written`);
}
