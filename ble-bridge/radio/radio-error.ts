/**
 * The errors of the radio seam. Each implementation translates what its driver reports into a code once; nothing above the seam
 * reads messages.
 */
export type RadioErrorCode =
  /** The scan or connect needs a radio that is powered on. */
  | 'not_powered_on'
  /** This radio has not received an advertisement of the strap, or the strap is gone. */
  | 'not_in_range'
  /** The strap still had a link that nobody owned; it was ended, and the next attempt can succeed. */
  | 'stale_link'
  /** The controller accepts no further link (HCI 0x09 or 0x0d). */
  | 'controller_limit'
  /** The controller reported another status, or the driver failed. */
  | 'connect_failed'
  /** The link ended before or during the request. */
  | 'link_ended'
  /** The characteristic does not have this property. */
  | 'not_supported'
  /** The peripheral answered a request with an ATT error (`attError`). */
  | 'refused'
  /** The peripheral requires an encrypted link, and pairing failed. */
  | 'pairing_failed'
  /** The peripheral's answer does not fit the request. */
  | 'bad_answer';

export interface RadioErrorOptions {
  /** Status of the controller (Bluetooth Core, volume 1 part F). */
  hciStatus?: number;
  /** Error code of the peripheral (Core, volume 3 part F, 3.4.1.1). */
  attError?: number;
  cause?: unknown;
}

export class RadioError extends Error {
  override readonly name = 'RadioError';
  readonly code: RadioErrorCode;
  readonly hciStatus: number | undefined;
  readonly attError: number | undefined;

  constructor(code: RadioErrorCode, message: string, options: RadioErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hciStatus = options.hciStatus;
    this.attError = options.attError;
  }
}
