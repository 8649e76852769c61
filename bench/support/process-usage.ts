/** Resource usage of a process so far, from /proc: CPU, memory, bytes written, wake-ups. */
import { readdirSync, readFileSync } from 'node:fs';

/** Clock ticks per second (getconf CLK_TCK): 100 on every Linux that Node supports. */
const TICKS = 100;

export interface Usage {
  cpuSeconds: number;
  rssMiB: number;
  /** Bytes that this process caused to be written to disk. */
  writtenBytes: number;
  /** Voluntary context switches of all threads: how often they went to sleep and were woken. */
  wakeUps: number;
}

const wakeUpsOf = (pid: number): number =>
  readdirSync(`/proc/${pid}/task`).reduce(
    (sum, thread) =>
      sum +
      Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8'))?.[1] ?? 0),
    0,
  );

export function usageOf(pid: number): Usage {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The process name may contain spaces and parentheses: count the fields after it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const io = readFileSync(`/proc/${pid}/io`, 'utf8');
  return {
    cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS,
    rssMiB: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024,
    writtenBytes: Number(/^write_bytes: (\d+)/m.exec(io)?.[1] ?? 0),
    wakeUps: wakeUpsOf(pid),
  };
}
