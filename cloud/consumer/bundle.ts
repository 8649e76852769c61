/** Makes the Lambda's code: handler, contract and your own function in one file, and that in a zip named by its content. */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** Where the template's runtime is newer, this still runs. */
const TARGET = 'node22';
const handler = fileURLToPath(new URL('handler.ts', import.meta.url));

export interface Bundle {
  /** `index.mjs`: exports `handler`, imports nothing but Node's own modules. */
  file: string;
  /** `consumer-<digest>.zip`: CloudFormation takes new code over only under a new name. */
  zip: string;
}

/** Bundles the consumer into a folder. `onReading`: a module of your own with `onReading` instead of on-reading.ts. */
export async function bundleConsumer(folder: string, { onReading }: { onReading?: string } = {}): Promise<Bundle> {
  // Imported here: both are for development, and the product's image has neither.
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
    // Your own function may bring CommonJS packages that ask for Node's modules by require, which an ES module does not have.
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
