import type { DeviceState } from '../../contract/device-status.ts';
import type { CutField, HeartRateMeasurement, MalformedReason } from '../gatt/hrm-parser.ts';
import type { RadioCharacteristic } from '../radio/radio.ts';
import type { StrapInformation } from './strap-information.ts';

/** What a link reports to its strap. */
export interface LinkObserver {
  stateChanged(state: DeviceState, before: DeviceState): void;
  /** What people see of the link has changed: state or reason. */
  shownChanged?(): void;
  connected(): void;
  /** The strap is connected, and these are its services, as a text that can be compared. */
  servicesFound?(services: string): void;
  /** The strap told the name that it does not advertise. Resolves once it is certain which strap it is; its link may have ended then. */
  named?(name: string): Promise<void>;
  /** A valid measurement; heart rate 0 included. */
  measurement(measurement: HeartRateMeasurement): void;
  /** A notification without a heart rate, or (CutField) with one whose remainder is cut off: that one is a measurement as well. */
  malformed(reason: MalformedReason | CutField, bytes: Buffer): void;
  information(information: Partial<StrapInformation>): void;
  /** The link ended or an attempt failed; `reason` as in the status' `disconnects`. */
  ended(reason: string, error: unknown): void;
  /** The controller did not confirm the end of a link: its state and ours may differ. */
  disconnectUnconfirmed(): void;
}

/** What a strap offers, whatever the order in which it told it. */
export function servicesText(characteristics: readonly RadioCharacteristic[]): string {
  return characteristics
    .map(({ uuid, notifies, readable }) => `${uuid}${notifies ? ' notifies' : ''}${readable ? ' readable' : ''}`)
    .sort()
    .join(', ');
}
