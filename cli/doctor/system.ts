/** Folders in which the kernel and the system publish their state; replaced in tests. */
import { existsSync } from 'node:fs';
import path from 'node:path';

export interface System {
  sys: string;
  proc: string;
  /** The root folder: marker files of container engines, state of the time service. */
  root: string;
}

export const SYSTEM: System = { sys: '/sys', proc: '/proc', root: '/' };

/** True inside a Docker or Podman container. */
export function insideContainer({ root }: System): boolean {
  return existsSync(path.join(root, '.dockerenv')) || existsSync(path.join(root, 'run/.containerenv'));
}
