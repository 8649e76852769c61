/** `npm run backup`: asks the running forwarder for a consistent copy of its queue, and says where it is. */
import { CommandClient } from '../service/mqtt/command-client.ts';
import { processConfig } from '../service/config/config.ts';
import { HrError } from '../service/errors/errors.ts';
import { reportStartFailure } from '../service/process/lifecycle.ts';
import { createLogger } from '../service/log/log.ts';
import { MqttLink } from '../service/mqtt/mqtt-link.ts';

const CONNECT_LIMIT_MS = 10_000;
/** A large queue on a slow card takes its time. */
const BACKUP_LIMIT_MS = 10 * 60_000;

async function main(): Promise<void> {
  const config = processConfig();
  const client: CommandClient = new CommandClient({
    services: ['forwarder'],
    publish: (topic, payload) => link.publish(topic, payload),
  });
  const link: MqttLink = new MqttLink({
    service: 'admin-api',
    config,
    log: createLogger('backup', { LOG_LEVEL: 'silent', LOG_PRETTY: 'false' }),
    subscriptions: client.subscriptions,
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
    console.log(JSON.stringify(await client.request('forwarder', 'backup', {}, { timeoutMs: BACKUP_LIMIT_MS })));
  } finally {
    client.stop();
    await link.stop();
  }
}

try {
  await main();
} catch (error) {
  process.exitCode = reportStartFailure(error);
}
