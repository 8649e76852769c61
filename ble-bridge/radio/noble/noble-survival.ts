/** Keeps packets that noble does not expect from ending the process. */
import type { Logger } from '../../../service/log/log.ts';
import { RepeatLimiter } from '../../../service/log/log.ts';
import { messageOf } from '../../../service/errors/errors.ts';
import type { NobleBindings } from './noble-types.ts';

const ACL_DATA_PACKET = 0x02;
const HANDLE_MASK = 0x0fff;

/** Far more than a controller has links: beyond this the failure has another cause. */
const TRIES_MAX = 100;

/**
 * Makes noble's flush skip packets of links that have ended. noble writes a packet some microtasks after the request. If the link ends
 * in between, its flush fails on that packet (`Cannot read properties of undefined (reading 'pending')`, lib/hci-socket/hci.js,
 * flushAcl), and the unhandled rejection would end the process. The packet has already left the queue and its link is gone, so the
 * flush is repeated for the packets of other links.
 */
export function surviveLateWrites(hci: NobleBindings['_hci'], log: Logger): void {
  const flush = hci?.flushAcl;
  if (hci === undefined || flush === undefined) return;
  hci.flushAcl = async () => {
    for (let tries = 0; tries < TRIES_MAX; tries += 1)
      try {
        return await flush.call(hci);
      } catch (error) {
        log.debug({ event: 'write_to_ended_link', reason: messageOf(error) }, 'dropped a packet of a link that has ended');
      }
  };
}

/**
 * noble reads packets without checking their length: an L2CAP, signaling or pairing packet that is cut off throws in an event handler,
 * which would end the process. Such a packet is dropped. To be called before noble is started.
 */
export function surviveMalformedPackets(hci: NobleBindings['_hci'], log: Logger): void {
  const handle = hci?.onSocketData;
  if (hci === undefined || handle === undefined) return;
  const repeats = new RepeatLimiter(log);
  hci.onSocketData = (packet) => {
    try {
      handle.call(hci, packet);
    } catch (error) {
      repeats.warn(
        'malformed_packet',
        { event: 'packet_malformed', reason: messageOf(error), bytes: packet.subarray(0, 32).toString('hex') },
        'dropped a packet that noble cannot handle; no reading is lost',
      );
    }
    dropOverlong(hci, packet);
  };
}

/**
 * noble appends continuation fragments to an L2CAP packet until its length is reached exactly. A packet that is longer than it said would
 * grow with each further fragment, for as long as the link lasts.
 */
function dropOverlong({ _handleBuffers: buffers }: NonNullable<NobleBindings['_hci']>, packet: Buffer): void {
  if (buffers === undefined || packet.length < 3 || packet[0] !== ACL_DATA_PACKET) return;
  const handle = packet.readUInt16LE(1) & HANDLE_MASK;
  const partial = buffers[handle];
  if (partial !== undefined && partial.data.length > partial.length) delete buffers[handle];
}
