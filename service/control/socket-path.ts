/** Where the control sockets of a box are, and how to name one whose path is too long for the kernel. */
import { closeSync, openSync } from 'node:fs';
import path from 'node:path';
import type { ServiceName } from '../../contract/topics.ts';

/** Below the 108 bytes of sockaddr_un (unix(7)). */
const PATH_MAX_BYTES = 100;

/** Beside the lock of the service: the holder of the lock owns the socket. */
export const CONTROL_FOLDER = 'locks';

export const controlSocketName = (service: ServiceName): string => `${service}.sock`;

/** A path that fits, and what ends its validity: a long one is named through an open descriptor of its folder. */
export interface ShortPath {
  path: string;
  release(): void;
}

/** Throws what `node:fs` throws if the path is long and its folder cannot be opened. */
export function shortSocketPath(folder: string, name: string): ShortPath {
  const full = path.join(path.resolve(folder), name);
  if (Buffer.byteLength(full) <= PATH_MAX_BYTES) return { path: full, release: () => undefined };
  const fd = openSync(folder, 'r');
  return { path: `/proc/self/fd/${fd}/${name}`, release: () => closeSync(fd) };
}
