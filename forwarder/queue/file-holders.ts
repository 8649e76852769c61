/** Names the other processes that have a file of the queue open, for people: from /proc, as far as this user may read it. */
import { readdirSync, readFileSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import path from 'node:path';

const ENDINGS = ['', '-wal', '-shm'];
const COMMAND_MAX = 80;

interface QueueFiles {
  paths: Set<string>;
  inodes: Set<string>;
}

function filesOf(file: string): QueueFiles {
  const files: QueueFiles = { paths: new Set(), inodes: new Set() };
  for (const ending of ENDINGS)
    try {
      files.paths.add(realpathSync(file + ending));
      files.inodes.add(String(statSync(file + ending).ino));
    } catch {
      // That file does not exist now.
    }
  return files;
}

/** Lists a folder of /proc; empty if it is gone, belongs to another user, or there is no /proc. */
function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function isOpenIn(pid: string, { paths }: QueueFiles): boolean {
  return list(`/proc/${pid}/fd`).some((fd) => {
    try {
      return paths.has(readlinkSync(`/proc/${pid}/fd/${fd}`));
    } catch {
      return false;
    }
  });
}

/** Processes with a lock on one of the files: readable for every user, unlike the list of open files. */
function lockingPids({ inodes }: QueueFiles): string[] {
  try {
    return readFileSync('/proc/locks', 'utf8')
      .split('\n')
      .flatMap((line) => {
        const [, pid, inode] = /(?:READ|WRITE)\s+(\d+)\s+[0-9a-f]+:[0-9a-f]+:(\d+)\s/.exec(line) ?? [];
        return pid !== undefined && inode !== undefined && inodes.has(inode) && pid !== '0' ? [pid] : [];
      });
  } catch {
    return [];
  }
}

function commandOf(pid: string): string {
  try {
    // Paths by their last part: those of programs are long, and say less than what follows them.
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
      .split('\0')
      .map((word) => (path.isAbsolute(word) ? path.basename(word) : word))
      .join(' ')
      .trim();
    return (words === '' ? readFileSync(`/proc/${pid}/comm`, 'utf8').trim() : words).slice(0, COMMAND_MAX);
  } catch {
    return 'unknown command';
  }
}

/** `pid 123 (sqlite3 queue.db)`, for each other process; empty if none can be seen. */
export function fileHolders(file: string): string[] {
  const files = filesOf(file);
  const own = String(process.pid);
  const pids = new Set(lockingPids(files));
  for (const pid of list('/proc')) if (/^\d+$/.test(pid) && pid !== own && isOpenIn(pid, files)) pids.add(pid);
  pids.delete(own);
  return [...pids].map((pid) => `pid ${pid} (${commandOf(pid)})`);
}

/** Who has the file open, as the end of a sentence. */
export function holdersText(file: string): string {
  const holders = fileHolders(file);
  return holders.length === 0 ? 'a process that cannot be seen from here' : holders.join(', ');
}
