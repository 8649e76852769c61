/** What stands in the files of an outbox, read by code of its own: each line of a reading ends with ` <seq> <JSON>`. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

const FILE = /^([0-9a-f]{16})-\d+\.spill/;
const LINE = /^[0-9a-f]{8} ([1-9]\d*) \{.*\}$/;

/** `<run> <seq>` of each complete line in the files of a folder. */
export function spilledReadings(folder: string): Set<string> {
  const found = new Set<string>();
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch {
    return found;
  }
  for (const name of names) {
    const run = FILE.exec(name)?.[1];
    if (run === undefined) continue;
    let text = '';
    try {
      text = readFileSync(path.join(folder, name), 'utf8');
    } catch {
      // Removed meanwhile: all of it is stored.
    }
    // What follows the last line break is incomplete.
    for (const line of text.split('\n').slice(0, -1)) {
      const seq = LINE.exec(line)?.[1];
      if (seq !== undefined) found.add(`${run} ${seq}`);
    }
  }
  return found;
}
