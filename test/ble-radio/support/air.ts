/** What the controller passes to noble: ATT values by strap, taken from its packets. */
export type Give = (packet: Buffer) => void;

type Tap = (packet: Buffer, give: Give) => Buffer[] | void;

const ACL_DATA = 2;
const EVENT = 4;
const LE_META = 0x3e;
/** LE Connection Complete and its enhanced form (Core, volume 4 part E, 7.7.65.1 and .10). */
const CONNECTION_COMPLETE: ReadonlySet<number> = new Set([0x01, 0x0a]);
const ATT_CHANNEL = 4;
const VALUES: ReadonlySet<number> = new Set([0x1b, 0x1d]);

/** An unfragmented ATT packet: 02 handle(2) length(2), l2cap length(2) cid(2), PDU. */
export interface AttPacket {
  /** Of the strap; undefined if the link was established before the tap. */
  address: string | undefined;
  pdu: Buffer;
}

/** Reads packets in order; one per tap, because it learns which link is which strap's. */
export class Air {
  readonly #addresses = new Map<number, string>();

  /** The ATT packet in a packet of the controller, if it is one. */
  read(packet: Buffer): AttPacket | undefined {
    if (packet[0] === EVENT && packet[1] === LE_META && CONNECTION_COMPLETE.has(packet[3] ?? 0) && packet[4] === 0)
      this.#addresses.set(packet.readUInt16LE(5), [...packet.subarray(9, 15)].reverse().map(hex).join(':'));
    if (packet[0] !== ACL_DATA || packet.length < 10 || packet.readUInt16LE(7) !== ATT_CHANNEL) return undefined;
    return { address: this.#addresses.get(packet.readUInt16LE(1) & 0x0fff), pdu: packet.subarray(9) };
  }
}

const hex = (byte: number): string => byte.toString(16).padStart(2, '0');

/** The same packet with another PDU. */
export function withPdu(packet: Buffer, pdu: Buffer): Buffer {
  const other = Buffer.concat([packet.subarray(0, 9), pdu]);
  other.writeUInt16LE(4 + pdu.length, 3);
  other.writeUInt16LE(pdu.length, 5);
  return other;
}

/** Sets the tap of hci-h4-socket.cjs: called with each packet before noble, which receives what it returns instead, if anything. */
export function tapController(t: { after: (end: () => void) => unknown }, tap: Tap): void {
  const global = globalThis as { hciTap?: Tap };
  global.hciTap = tap;
  t.after(() => delete global.hciTap);
}

/** Values that a strap notified or indicated, by attribute handle, in order. */
export class NotifiedValues {
  readonly #air = new Air();
  readonly #values: { address: string; handle: number; value: Buffer }[] = [];

  constructor(t: { after: (end: () => void) => unknown }) {
    tapController(t, (packet) => {
      const att = this.#air.read(packet);
      if (att?.address !== undefined && VALUES.has(att.pdu[0] ?? 0) && att.pdu.length >= 3)
        this.#values.push({ address: att.address, handle: att.pdu.readUInt16LE(1), value: Buffer.from(att.pdu.subarray(3)) });
    });
  }

  of(address: string, handle: number): Buffer[] {
    return this.#values.filter((one) => one.address === address && one.handle === handle).map(({ value }) => value);
  }
}
