/**
 * noble writes a packet some microtasks after it was told to. Where the link ends in between, its flush stumbles over the packet
 * (`Cannot read properties of undefined (reading 'pending')`, hci.js flushAcl), and that rejection, which nobody can handle, would end
 * the process. The packet has left the queue by then, and its link is gone: the flush is taken up again for the packets of the others.
 */
import { messageOf } from '../../../service/errors/errors.ts';
import type { Logger } from '../../../service/log/log.ts';
import type { NobleBindings } from './noble-types.ts';

/** More packets for links that are gone than a controller has links: something else is wrong. */
const TRIES_MAX = 100;

export function surviveLateWrites(hci: NobleBindings['_hci'], log: Logger): void {
  const flush = hci?.flushAcl;
  if (hci === undefined || flush === undefined) return;
  hci.flushAcl = async () => {
    for (let tries = 0; tries < TRIES_MAX; tries += 1)
      try {
        return await flush.call(hci);
      } catch (error) {
        log.debug({ event: 'write_to_ended_link', reason: messageOf(error) }, 'a packet was left for a link that has ended');
      }
  };
}
