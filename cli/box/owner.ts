/** For commands that run services or write files of a box: root would own what the services' user must write later. */
import { statSync } from 'node:fs';
import path from 'node:path';

/** Undefined if there is no such folder: callers report that. */
function ownerOf(folder: string): { uid: number; gid: number } | undefined {
  try {
    return statSync(folder);
  } catch {
    return undefined;
  }
}

/** If root runs this process and DATA_DIR belongs to another user, goes on as that user, for good. */
export function becomeOwnerOf(dataDir: string): void {
  const { setgroups, setgid, setuid, getuid } = process;
  if (getuid?.() !== 0 || setgroups === undefined || setgid === undefined || setuid === undefined) return;
  const folder = ownerOf(path.resolve(dataDir));
  if (folder === undefined || folder.uid === 0) return;
  setgroups([folder.gid]);
  setgid(folder.gid);
  setuid(folder.uid);
}
