/** What Linux tells of a process: its memory, what the system holds for its connections, and how long it waited for a processor. */
import { readFileSync } from 'node:fs';

/** The most memory that a process ever had, in bytes. */
export function peakBytesOf(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) * 1024;
}

/** For how long a process could have run and another one did (Linux, Documentation/scheduler/sched-stats), in milliseconds. */
export function starvedMsOf(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[1]) / 1e6;
}

/** What the system holds of answers and messages that clients of these local ports have not read, in bytes. */
export function systemBytesOf(unread: ReadonlyMap<string, number>, ports: readonly number[]): number {
  const wanted = new Set(ports.map(String));
  let sum = 0;
  for (const [key, bytes] of unread) if (wanted.has(key.split(' ')[0] ?? '')) sum += bytes;
  return sum;
}

/** Clock ticks per second (getconf CLK_TCK): 100 on every Linux that Node supports. */
const TICKS = 100;

/** CPU seconds of some processes so far. */
export const cpuSecondsOf = (pids: readonly number[]): number =>
  pids.reduce((sum, pid) => {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The process name may contain spaces and parentheses: the fields after it are counted.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return sum + (Number(fields[11]) + Number(fields[12])) / TICKS;
  }, 0);
