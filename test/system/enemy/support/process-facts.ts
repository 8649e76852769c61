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
