/**
 * Device names of straps on a broker where no gateway adopts readings: nobody but their bridge may publish readings under them. Known from
 * what sequencers deliver, and from the statuses that bridges retain on `hr/<device>/status`, which arrive before the first reading does.
 * Kept on disk too: a broker may lose its retained messages, and other clients may be back before the bridge is.
 *
 * A bridge that forgets a strap clears its retained status, which frees the name.
 */
import Type, { type Static } from 'typebox';
import { gatewayNameSchema } from '../../contract/delivery.ts';
import { parseDeviceStatus } from '../../contract/device-status.ts';
import { deviceOfTopic } from '../../contract/topics.ts';
import { parserOf } from '../../contract/validate.ts';
import type { CheckReport } from '../../service/health/check-report.ts';
import type { Logger } from '../../service/log/log.ts';
import type { MessageRefusals } from '../../service/mqtt/refused-messages.ts';
import { StateFile } from '../../service/storage/state-file.ts';

const NAMES_MAX = 10_000;
/** Bridges that read one strap. */
const GATEWAYS_MAX = 10;

const FILE_BYTES_MAX = 16 * 1024 * 1024;

/** Pairs: a device name may be `__proto__`. */
const keptNameSchema = Type.Object({
  device: Type.String({ maxLength: 256 }),
  gateways: Type.Array(gatewayNameSchema, { maxItems: GATEWAYS_MAX }),
});
type KeptName = Static<typeof keptNameSchema>;
const parseNames = parserOf(Type.Array(keptNameSchema, { maxItems: NAMES_MAX }), FILE_BYTES_MAX);

export interface StrapNamesOptions {
  /** Whether this gateway's readings are delivered to this forwarder: only then its statuses count. */
  isDelivering: (gateway: string) => boolean;
  refused: MessageRefusals;
  /** Where the names are kept; left out: in memory only. */
  file?: string | undefined;
  log?: Logger | undefined;
  /** A strap has got a name. */
  onNamed?: () => void;
}

export class StrapNames {
  readonly #options: StrapNamesOptions;
  /** Gateways by device. */
  readonly #gateways = new Map<string, Set<string>>();
  /** Names that were freed while the file could not be read. */
  readonly #freed = new Set<string>();
  readonly #file: StateFile<KeptName[]> | undefined;

  constructor(options: StrapNamesOptions) {
    this.#options = options;
    const { file, log } = options;
    if (file === undefined) return;
    this.#file = new StateFile({
      file: () => file,
      name: 'strap_names',
      consequence: 'other clients may publish under the name of a strap until it is seen again',
      log,
      parse: parseNames,
      onLoaded: (names) => this.#loaded(names),
      text: () => `${JSON.stringify([...this.#gateways].map(([device, gateways]) => ({ device, gateways: [...gateways] })))}\n`,
    });
  }

  /** Reads what an earlier process kept. */
  start(): void {
    this.#file?.load();
  }

  #loaded(names: readonly KeptName[]): void {
    for (const { device, gateways } of names)
      if (!this.#freed.has(device))
        this.#gateways.set(device, new Set([...(this.#gateways.get(device) ?? []), ...gateways].slice(0, GATEWAYS_MAX)));
    this.#freed.clear();
    if (names.length > 0) this.#options.onNamed?.();
  }

  /** Whether a strap has this name, whose readings are delivered to this forwarder. */
  has(device: string): boolean {
    const gateways = this.#gateways.get(device);
    return gateways !== undefined && [...gateways].some((gateway) => this.#options.isDelivering(gateway));
  }

  /** A sequencer has delivered a reading of this device. */
  delivered(device: string, gateway: string): void {
    this.#note(device, gateway);
  }

  /** A message on `hr/<device>/status`. */
  status(topic: string, payload: Buffer): void {
    const device = deviceOfTopic(topic);
    if (device === undefined) return;
    if (payload.length === 0) {
      return this.#free(device);
    }
    const status = parseDeviceStatus(payload);
    if (!status.ok) return this.#options.refused.refuse('device_status', topic, status.reason);
    // A bridge of version 1 does not say whose it is.
    if (status.value.device === device && status.value.gateway !== undefined) this.#note(device, status.value.gateway);
  }

  #free(device: string): void {
    const isFileRead = this.#file?.isLoaded !== false;
    if (!isFileRead) this.#freed.add(device);
    if (this.#gateways.delete(device) || !isFileRead) this.#file?.changed();
  }

  #note(device: string, gateway: string): void {
    const known = this.#gateways.get(device);
    if (known?.has(gateway) === true) return;
    if (known === undefined ? this.#gateways.size >= NAMES_MAX : known.size >= GATEWAYS_MAX) return;
    this.#gateways.set(device, new Set([...(known ?? []), gateway]));
    this.#freed.delete(device);
    this.#file?.changed();
    this.#options.onNamed?.();
  }

  /** A check while something is wrong with the file. */
  checks(): CheckReport[] {
    return this.#file?.checks() ?? [];
  }

  /** Resolves once everything is written. */
  async stop(): Promise<void> {
    await this.#file?.stop();
  }
}
