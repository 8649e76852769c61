/**
 * The client's side of one ATT bearer: one request at a time, and each settles with what the peripheral answered. noble 1.9.2-26
 * (lib/hci-socket/gatt.js) drops the errors of writes and subscriptions, waits forever after an answer that it does not expect or the
 * error "invalid PDU", and queues confirmations of indications behind requests.
 *
 * Invariant: nothing that a peripheral sends throws or leaves a request without its result; only a missing answer does. The callers
 * have time limits for that, and `end` settles the rest.
 */
import type { Traffic } from '../radio.ts';
import { RadioError } from '../radio-error.ts';
import {
  ATT,
  ATT_ERROR,
  attErrorText,
  encodeConfirmation,
  encodeError,
  encodeMtuRequest,
  encodeMtuResponse,
} from './att-protocol.ts';

/** Smallest MTU of an LE bearer, in force until both sides have exchanged theirs (Core, volume 3 part G, 5.2.1). */
const MTU_DEFAULT = 23;
/** A command needs no answer (Core, volume 3 part F, 3.3.1). */
const COMMAND_FLAG = 0x40;

export interface AttClientOptions {
  send: (pdu: Buffer) => void;
  /** Pairs and encrypts the link; false if that failed. Called at most once per link. */
  pair: () => Promise<boolean>;
  /** A notification or an indication. Returns whether this value was subscribed to. */
  onValue: (handle: number, value: Buffer) => boolean;
  /** MTU that this side accepts. */
  mtu: number;
}

interface Request {
  what: string;
  pdu: Buffer;
  answer: number;
  resolve: (answer: Buffer) => void;
  reject: (error: RadioError) => void;
  /** Whether the link is encrypted if the peripheral demands that. */
  pairs: boolean;
  /** The link is being encrypted; then it is sent again. */
  pairing?: boolean;
}

export class AttClient {
  readonly #o: AttClientOptions;
  readonly #waiting: Request[] = [];
  #current: Request | undefined;
  #mtu = MTU_DEFAULT;
  #paired = false;
  #answeredAt = -Infinity;
  readonly #unasked = { packets: 0, bytes: 0, others: 0 };
  #ended = false;

  constructor(options: AttClientOptions) {
    this.#o = options;
  }

  /** Largest PDU that both sides accept, in bytes. */
  get mtu(): number {
    return this.#mtu;
  }

  /** When the last answer to a request arrived (performance.now()). */
  get answeredAt(): number {
    return this.#answeredAt;
  }

  /** PDUs that the peripheral sent without being asked: values, requests, and answers that nobody waits for. */
  get unasked(): Traffic {
    return this.#unasked;
  }

  /** An MTU request has been sent by someone else; its answer is still to come, and other requests wait for it. */
  expectMtuAnswer(): void {
    this.#current = {
      what: 'exchange of the MTU',
      // Whole, because it is sent again after pairing, and compared with what a controller loops back.
      pdu: encodeMtuRequest(this.#o.mtu),
      answer: ATT.mtuResponse,
      resolve: (answer) => {
        if (answer.length >= 3) this.#mtu = Math.max(MTU_DEFAULT, Math.min(this.#o.mtu, answer.readUInt16LE(1)));
      },
      reject: () => {},
      pairs: true,
    };
  }

  /**
   * Sends a request when its turn comes; resolves with the answer's PDU. Rejects with RadioError `refused` (the peripheral answered with
   * an error), `pairing_failed`, `bad_answer` or `link_ended`. `what` names it in errors. `pairs`: a request that demands an encrypted
   * link is worth pairing.
   */
  async request(what: string, pdu: Buffer, { pairs = true }: { pairs?: boolean } = {}): Promise<Buffer> {
    if (this.#ended) throw new RadioError('link_ended', `${what}: the link has ended`);
    return await new Promise<Buffer>((resolve, reject) => {
      this.#waiting.push({ what, pdu, answer: (pdu[0] ?? 0) + 1, resolve, reject, pairs });
      this.#next();
    });
  }

  #next(): void {
    if (this.#current !== undefined || this.#ended) return;
    this.#current = this.#waiting.shift();
    if (this.#current !== undefined) this.#o.send(this.#current.pdu);
  }

  /** A PDU of the peripheral. Never throws. */
  receive(pdu: Buffer): void {
    const opcode = pdu[0];
    if (opcode === undefined || this.#ended) return;
    const isValue = opcode === ATT.notification || opcode === ATT.indication;
    // An odd opcode is an answer; an even one is a request, a command or a confirmation.
    if (isValue || opcode % 2 === 0 || this.#current === undefined) {
      this.#unasked.packets += 1;
      this.#unasked.bytes += pdu.length;
      this.#unasked.others += 1;
    }
    if (isValue) return this.#value(opcode, pdu);
    if (opcode % 2 === 0) return this.#asked(opcode, pdu);
    this.#answeredAt = performance.now();
    const request = this.#current;
    if (request === undefined || request.pairing === true) return;
    if (opcode === ATT.error) return this.#refused(request, pdu);
    this.#settle(request, () =>
      opcode === request.answer
        ? request.resolve(pdu)
        : request.reject(
            new RadioError('bad_answer', `${request.what}: answered with opcode 0x${opcode.toString(16).padStart(2, '0')}`),
          ),
    );
  }

  #value(opcode: number, pdu: Buffer): void {
    // Confirmed at once and whatever it is: the peripheral sends nothing further before (Core, volume 3 part F, 3.4.7.3).
    if (opcode === ATT.indication) this.#o.send(encodeConfirmation());
    if (pdu.length >= 3 && this.#o.onValue(pdu.readUInt16LE(1), pdu.subarray(3))) this.#unasked.others -= 1;
  }

  /** This side has no attributes: it finds nothing for a peripheral that is a client as well (watches are). */
  #asked(opcode: number, pdu: Buffer): void {
    if ((opcode & COMMAND_FLAG) !== 0 || opcode === ATT.confirmation) return;
    // Some controllers loop back what was sent.
    if (this.#current?.pdu.equals(pdu) === true) return;
    if (opcode === ATT.mtuRequest) {
      if (pdu.length >= 3) this.#mtu = Math.max(MTU_DEFAULT, Math.min(this.#o.mtu, pdu.readUInt16LE(1)));
      return this.#o.send(encodeMtuResponse(this.#o.mtu));
    }
    const handle = pdu.length >= 3 ? pdu.readUInt16LE(1) : 0;
    const discovers = opcode <= ATT.readByType || opcode === ATT.readByGroupType;
    const reads = opcode === ATT.read || opcode === ATT.readBlob || opcode === ATT.write;
    let code: number = ATT_ERROR.requestNotSupported;
    if (discovers) code = ATT_ERROR.attributeNotFound;
    else if (reads) code = ATT_ERROR.invalidHandle;
    this.#o.send(encodeError(opcode, handle, code));
  }

  #refused(request: Request, pdu: Buffer): void {
    const attError = pdu[4];
    if (attError === undefined)
      return this.#settle(request, () =>
        request.reject(new RadioError('bad_answer', `${request.what}: an error without a code`)),
      );
    const needsPairing = attError === ATT_ERROR.insufficientAuthentication || attError === ATT_ERROR.insufficientEncryption;
    if (needsPairing && !this.#paired && request.pairs) return this.#pair(request, attError);
    this.#settle(request, () =>
      request.reject(
        new RadioError('refused', `${request.what}: the strap answered ATT error ${attErrorText(attError)}`, { attError }),
      ),
    );
  }

  #pair(request: Request, attError: number): void {
    this.#paired = true;
    request.pairing = true;
    const failed = (): void =>
      this.#settle(request, () =>
        request.reject(
          new RadioError('pairing_failed', `${request.what}: ATT error ${attErrorText(attError)}, and pairing failed`, {
            attError,
          }),
        ),
      );
    this.#o.pair().then((encrypted) => {
      if (this.#current !== request) return;
      request.pairing = false;
      if (encrypted) this.#o.send(request.pdu);
      else failed();
    }, failed);
  }

  #settle(request: Request, result: () => void): void {
    if (this.#current !== request) return;
    this.#current = undefined;
    result();
    this.#next();
  }

  /** The link has ended: rejects what is in progress. */
  end(): void {
    this.#ended = true;
    const open = [...(this.#current === undefined ? [] : [this.#current]), ...this.#waiting.splice(0)];
    this.#current = undefined;
    for (const { what, reject } of open) reject(new RadioError('link_ended', `${what}: the link has ended`));
  }
}
