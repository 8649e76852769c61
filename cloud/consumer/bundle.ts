/** Bundles the Lambda's code: handler, contract and your own function in one file, in a zip whose name holds a digest of it. */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** Code for this version also runs on newer runtimes of the template. */
const TARGET = 'node22';
const handler = fileURLToPath(new URL('handler.ts', import.meta.url));

export interface Bundle {
  /** `index.mjs`: exports `handler`, imports nothing but Node's own modules. */
  file: string;
  /** `consumer-<digest>.zip`: CloudFormation deploys new code only under a new name. */
  zip: string;
}

/** Bundles the consumer into a folder. `onReading`: a module of your own with `onReading` instead of on-reading.ts. */
export async function bundleConsumer(folder: string, { onReading }: { onReading?: string } = {}): Promise<Bundle> {
  // Imported here: both are development dependencies, which the product's image does not contain.
  const [{ build }, { zipSync }] = await Promise.all([import('esbuild'), import('fflate')]);
  mkdirSync(folder, { recursive: true });
  const file = path.join(folder, 'index.mjs');
  await build({
    entryPoints: [handler],
    bundle: true,
    platform: 'node',
    target: TARGET,
    format: 'esm',
    outfile: file,
    // CommonJS packages of your own function may call require for Node's modules, which an ES module does not have.
    banner: { js: 'import { createRequire as requireOf } from "node:module";\nconst require = requireOf(import.meta.url);' },
    logLevel: 'silent',
    plugins:
      onReading === undefined
        ? []
        : [
            {
              name: 'on-reading',
              setup: (bundling) => bundling.onResolve({ filter: /\/on-reading\.ts$/ }, () => ({ path: path.resolve(onReading) })),
            },
          ],
  });
  const code = readFileSync(file);
  const zip = path.join(folder, `consumer-${createHash('sha256').update(code).digest('hex').slice(0, 12)}.zip`);
  writeFileSync(zip, zipSync({ 'index.mjs': code }, { mtime: new Date(1980, 0, 1) }));
  return { file, zip };
}
