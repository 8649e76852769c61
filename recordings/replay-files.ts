/** REPLAY_FILE names one file, or several separated by commas. */
import { existsSync } from 'node:fs';

/**
 * The files that the text names. A file whose own name has commas stays one: a part that is no file is joined with the following ones
 * until it is.
 */
export function replayFiles(text: string, exists: (file: string) => boolean = existsSync): string[] {
  if (exists(text)) return [text];
  const parts = text.split(',');
  const files: string[] = [];
  for (let at = 0; at < parts.length;) {
    const ends = Array.from({ length: parts.length - at }, (_, index) => at + index + 1);
    const end = ends.find((to) => exists(parts.slice(at, to).join(',').trim())) ?? at + 1;
    const file = parts.slice(at, end).join(',').trim();
    if (file !== '') files.push(file);
    at = end;
  }
  return files;
}
