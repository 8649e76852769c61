/** A service whose GATEWAY_NAME selects what it does: `throws-later`, `hangs-later`, or nothing. */
import { runService } from '../../../service/process/lifecycle.ts';

await runService('gateway', ({ config, log }) => {
  let timer: NodeJS.Timeout | undefined;
  return {
    name: 'gateway',
    async start() {
      timer = setInterval(() => {}, 1000);
      if (config.GATEWAY_NAME === 'throws-later')
        setTimeout(() => {
          throw new Error('thrown on purpose');
        }, 100);
      if (config.GATEWAY_NAME === 'hangs-later')
        setTimeout(() => {
          for (;;);
        }, 1200);
    },
    async stop() {
      clearInterval(timer);
      log.info({ event: 'fixture_stopped' }, 'stopped in order');
    },
  };
});
