/** Reads small files: the disk that does not return a file now is not the same as a file that does not exist. */
import { readFileSync } from 'node:fs';
import { systemCodeOf } from '../errors/errors.ts';

/** At once: a passing error then delays nothing. */
const ATTEMPTS = 3;

/** The text of a file; undefined if it does not exist. Throws what `node:fs` throws, after some attempts. */
export function readIfExists(file: string): string | undefined {
  for (let attempt = 1; ; attempt += 1)
    try {
      return readFileSync(file, 'utf8');
    } catch (error) {
      if (systemCodeOf(error) === 'ENOENT') return undefined;
      if (attempt === ATTEMPTS) throw error;
    }
}
