/** Follows the framing of MQTT (3.1.1 section 2.2.3) through chunks of any size, and counts packets before Aedes parses them. */

/** Packet types in the first byte of a packet (MQTT 3.1.1 section 2.2.1). */
const PUBLISH = 3;
const PUBACK = 4;
const PUBCOMP = 7;
const SUBSCRIBE = 8;
const UNSUBSCRIBE = 10;
/** What an acknowledgement costs of the rate of publishes. */
const ACKNOWLEDGEMENT_COST = 0.25;

export interface FrameLimits {
  /** Longest packet after its header; `requestBytes` for SUBSCRIBE and UNSUBSCRIBE. */
  maxBytes: number;
  requestBytes: number;
  /** Ends after so many PUBLISH packets, so much of the rate of publishes, so many requests, so many packets. */
  publishPackets: number;
  publishes: number;
  requests: number;
  packets: number;
}

/** What was followed since the last `take`. */
export interface FrameUse {
  /** Packets that are complete. */
  packets: number;
  publishes: number;
  requests: number;
}

export class FrameWatch {
  #type = 0;
  #left = 0;
  #length = 0;
  #use: FrameUse = { packets: 0, publishes: 0, requests: 0 };
  /** Bytes of a packet after its header, and of the header itself, if the packet is over the limit; malformed: it has no length. */
  tooLong: { announcedBytes: number; headerBytes: number; isMalformed: boolean } | undefined;

  /** Bytes of the packet that has begun and is not complete. */
  get incompleteBytes(): number {
    return this.#left === 0 ? 0 : this.#length - this.#left;
  }

  /** What was followed since the last call. */
  take(): FrameUse {
    const use = this.#use;
    this.#use = { packets: 0, publishes: 0, requests: 0 };
    return use;
  }

  /**
   * Follows a chunk until a limit is reached, a packet announces too many bytes (`tooLong`), or the chunk ends; an incomplete header at its
   * end is not followed. Returns how many bytes were.
   */
  follow(chunk: Buffer, limits: FrameLimits): number {
    let at = 0;
    let publishPackets = limits.publishPackets;
    let packets = limits.packets;
    while (at < chunk.length && packets > 0 && publishPackets > 0) {
      if (this.#left === 0) {
        const headerBytes = this.#header(chunk, at, limits);
        if (headerBytes === 0 || this.tooLong !== undefined) return at;
        at += headerBytes;
      }
      const step = Math.min(this.#left, chunk.length - at);
      this.#left -= step;
      at += step;
      if (this.#left > 0) return at;
      packets -= 1;
      if (this.#type === PUBLISH) publishPackets -= 1;
      this.#count();
      if (this.#use.publishes >= limits.publishes || this.#use.requests >= limits.requests) return at;
    }
    return at;
  }

  /** Length of the header at this place; 0 if it is not complete. */
  #header(chunk: Buffer, at: number, { maxBytes, requestBytes }: FrameLimits): number {
    const type = (chunk[at] ?? 0) >> 4;
    let length = 0;
    for (let digit = 0; digit < 4; digit += 1) {
      const byte = chunk[at + 1 + digit];
      if (byte === undefined) return 0;
      length += (byte & 0x7f) * 128 ** digit;
      if (byte < 0x80) {
        const isRequest = type === SUBSCRIBE || type === UNSUBSCRIBE;
        if (length > (isRequest ? Math.min(maxBytes, requestBytes) : maxBytes))
          this.tooLong = { announcedBytes: length, headerBytes: digit + 2, isMalformed: false };
        this.#type = type;
        this.#length = length;
        this.#left = length;
        return digit + 2;
      }
    }
    this.tooLong = { announcedBytes: length, headerBytes: 5, isMalformed: true };
    return 5;
  }

  #count(): void {
    this.#use.packets += 1;
    if (this.#type === PUBLISH) this.#use.publishes += 1;
    else if (this.#type >= PUBACK && this.#type <= PUBCOMP) this.#use.publishes += ACKNOWLEDGEMENT_COST;
    else this.#use.requests += 1;
  }

  /** The packet that is too long is skipped: forgets it. Returns its length with its header. */
  skip(): number {
    const { announcedBytes = 0, headerBytes = 0 } = this.tooLong ?? {};
    this.tooLong = undefined;
    this.#left = 0;
    return announcedBytes + headerBytes;
  }
}
