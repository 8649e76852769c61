/** The process of `npm start`: all services in one (all-services.ts), its banner, its end. */
import { AllServices } from './all-services.ts';
import { processConfig, type Config } from './service/config/config.ts';
import { warnOfRemovedSettings } from './service/process/startup-warnings.ts';
import { endAfterLog, ProcessEnd, reportStartFailure } from './service/process/lifecycle.ts';
import { createProcessLogger } from './service/log/log.ts';
import { standardOutput } from './service/log/log-output.ts';
import { notifySystemd } from './service/process/sd-notify.ts';
import { awaitSpaceForFirstStart } from './service/storage/first-start.ts';
import { VERSION } from './service/process/version.ts';
import { bannerOf, type Running } from './service/process/banner.ts';
import { startPatiently } from './service/process/patient-start.ts';

async function main(): Promise<void> {
  let config: Config;
  try {
    config = processConfig();
  } catch (error) {
    process.exit(reportStartFailure(error));
  }
  const root = createProcessLogger(config);
  const log = root.child({ service: 'hr-gateway' });
  warnOfRemovedSettings(log);
  let all: AllServices | undefined;
  const end = new ProcessEnd({
    name: 'hr-gateway',
    config,
    log,
    stop: async () => {
      notifySystemd('STOPPING=1');
      await all?.stop();
    },
    hurry: () => all?.hurry(),
  });
  const isEnding = (): boolean => end.ending;
  end.install();
  try {
    let running: Running | undefined;
    const start = async (): Promise<void> => {
      if (!(await awaitSpaceForFirstStart({ config, service: 'forwarder', log, isEnding }))) return;
      all = new AllServices(root, (error, exitCode) => end.fail(error, exitCode));
      running = await all.start(config);
    };
    if (!(await startPatiently({ start, stop: async () => await all?.stop(), log, isEnding }))) return;
    // Signalled meanwhile: the shutdown ends the process.
    if (end.ending) return;
    end.started();
    log.info({ event: 'started', version: VERSION, node: process.version, pid: process.pid }, 'all services started');
    if (running !== undefined) standardOutput.write(`${bannerOf(running)}\n`);
    notifySystemd('READY=1');
  } catch (error) {
    if (end.ending) return;
    const exitCode = reportStartFailure(error);
    await all?.stop().catch(() => {});
    endAfterLog(log, exitCode);
  }
}

await main();
