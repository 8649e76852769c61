/** The statuses of the services of a box over their control sockets: those of now, whatever the broker does. */
import type { ServiceStatus } from '../../contract/service-status.ts';
import { askService } from '../../service/control/control-client.ts';
import type { Box } from '../box/box.ts';

/** By service. One that hangs is left out: its status on the broker is old then, which the doctor reports. */
export async function askStatuses({ dataDir, running }: Box): Promise<Map<string, ServiceStatus>> {
  const statuses = new Map<string, ServiceStatus>();
  const asked = [...running.keys()].map(async (service) => {
    const status = await askService(dataDir, service, 'show-status', {});
    // The local stream has no status on the broker: it is checked as a stream.
    if (status !== undefined && service !== 'local-kinesis') statuses.set(service, status);
  });
  await Promise.allSettled(asked);
  return statuses;
}
