/** Notifies systemd of the state of the service (sd_notify(3)) through systemd-notify. Does nothing without systemd. */
import { spawn } from 'node:child_process';
import { systemdSocket, systemdWatchdogUs } from '../config/config.ts';

/** Sends one state: `READY=1`, `STOPPING=1` or `WATCHDOG=1`. Node lacks Unix datagram sockets, so a child process sends it. */
export function notifySystemd(state: string): void {
  if (systemdSocket() === undefined) return;
  const child = spawn('systemd-notify', [`--pid=${process.pid}`, state], { stdio: 'ignore' });
  child.on('error', () => {});
  child.unref();
  if (state === 'READY=1') startWatchdogPings();
}

function startWatchdogPings(): void {
  const limitUs = systemdWatchdogUs();
  if (limitUs === undefined) return;
  setInterval(() => notifySystemd('WATCHDOG=1'), limitUs / 3000).unref();
}
