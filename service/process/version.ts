import { readFileSync } from 'node:fs';

function readVersion(): string {
  // Two folders up in the sources; three in dist/.
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

/** The product's version, from package.json. */
export const VERSION = readVersion();
