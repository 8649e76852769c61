import { readFileSync } from 'node:fs';

function readVersion(): string {
  // Two folders up from the sources, three from dist/.
  for (const path of ['../../package.json', '../../../package.json']) {
    try {
      const parsed: unknown = JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8'));
      if (typeof parsed === 'object' && parsed !== null && 'version' in parsed && typeof parsed.version === 'string')
        return parsed.version;
    } catch {
      continue;
    }
  }
  return '0.0.0';
}

/** The version of the product, from package.json. */
export const VERSION = readVersion();
