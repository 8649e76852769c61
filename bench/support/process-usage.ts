/** What a process has used so far, from /proc: CPU, memory, bytes to disk. */
import { readdirSync, readFileSync } from 'node:fs';

/** The kernel's clock ticks a second (getconf CLK_TCK), 100 on every Linux that Node runs on. */
const TICKS = 100;

export interface Usage {
  cpuSeconds: number;
  rssMiB: number;
  /** Bytes that this process caused to be written to disk. */
  writtenBytes: number;
  /** How often its threads went to sleep, and so were woken. */
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
  // The name may hold spaces and parentheses: fields are counted behind it.
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
