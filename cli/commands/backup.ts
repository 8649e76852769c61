/** `hr-gateway backup`: asks the running forwarder for a consistent copy of its queue and prints the copy's path. */
import { processConfig } from '../../service/config/config.ts';
import { HrError } from '../../service/errors/errors.ts';
import type { AddCommand } from '../frame/program.ts';

const CONNECT_LIMIT_MS = 10_000;
/** A large queue on a slow SD card takes minutes. */
const BACKUP_LIMIT_MS = 10 * 60_000;

/** Throws HrError `not_connected`, `command_timeout` or `command_failed`. */
async function requestBackup(): Promise<unknown> {
  const config = processConfig();
  const { requireVolumeOf } = await import('../../service/storage/data-volumes.ts');
  requireVolumeOf('admin-api', config);
  const { CommandClient } = await import('../../service/mqtt/command-client.ts');
  const { createLogger } = await import('../../service/log/log.ts');
  const { MqttLink } = await import('../../service/mqtt/mqtt-link.ts');
  const { gatewayName } = await import('../../service/storage/data-dir.ts');
  const name = gatewayName(config);
  const client = new CommandClient({
    gateway: () => name,
    publish: (topic, payload): boolean => link.publish(topic, payload),
  });
  const link = new MqttLink({
    service: 'admin-api',
    config,
    log: createLogger('backup', { LOG_LEVEL: 'silent', LOG_PRETTY: 'false' }),
    subscriptions: () => client.subscriptions,
  });
  try {
    await new Promise<void>((resolve, reject) => {
      const limit = setTimeout(
        () => reject(new HrError('not_connected', { operation: 'backup', detail: 'the broker does not answer' })),
        CONNECT_LIMIT_MS,
      );
      link.on('up', () => {
        clearTimeout(limit);
        resolve();
      });
      link.start();
    });
    return await client.request('forwarder', 'backup', {}, { timeoutMs: BACKUP_LIMIT_MS });
  } finally {
    client.stop();
    await link.stop();
  }
}

export const addBackup: AddCommand = (program) => {
  program
    .command('backup')
    .summary('copy the queue while it is in use')
    .description(
      'Writes a consistent copy of the queue into DATA_DIR/backups while the forwarder runs, and prints its path and size.',
    )
    .action(async () => {
      console.log(JSON.stringify(await requestBackup()));
    });
};
