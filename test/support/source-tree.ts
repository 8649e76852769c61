/** The tracked files of the repository, for tests that check the project itself. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Folders that are not part of the source: installed, generated, or written at run time (.gitignore). */
const NOT_SOURCE = new Set(['node_modules', 'dist', 'data', 'test-output', '.git', '.cache', '__pycache__', '.venv']);

/** The text of a file; `file` is relative to the repository's root. */
export const readSource = (file: string): string => readFileSync(path.join(root, file), 'utf8');

/** Names of the folders and files directly in a folder, relative to the root. */
export function entriesOf(folder: string): { folders: string[]; files: string[] } {
  const entries = readdirSync(path.join(root, folder), { withFileTypes: true });
  const join = (name: string): string => path.posix.join(folder, name);
  return {
    // `data` is the run-time folder at the root; test/data is left out too: recordings and test vectors of others.
    folders: entries.filter((entry) => entry.isDirectory() && !NOT_SOURCE.has(entry.name)).map(({ name }) => join(name)),
    files: entries.filter((entry) => entry.isFile()).map(({ name }) => join(name)),
  };
}

/** Every file below a folder. */
export function filesBelow(folder: string): string[] {
  const { folders, files } = entriesOf(folder);
  return [...files, ...folders.flatMap(filesBelow)];
}

/** Every folder below a folder, at any depth. */
export function foldersBelow(folder: string): string[] {
  return entriesOf(folder).folders.flatMap((name) => [name, ...foldersBelow(name)]);
}
