/**
 * Device names of straps on a broker where no gateway adopts readings: nobody but their bridge may publish readings under them. Known from
 * what sequencers deliver, and from the statuses that bridges retain on `hr/<device>/status`, which arrive before the first reading does.
 * Kept on disk too: a broker may lose its retained messages, and other clients may be back before the bridge is.
 *
 * A bridge that forgets a strap clears its retained status, which frees the name.
 */
import { readFileSync } from 'node:fs';
import Type from 'typebox';
import { gatewayNameSchema } from '../../contract/delivery.ts';
import { parseDeviceStatus } from '../../contract/device-status.ts';
import { deviceOfTopic } from '../../contract/topics.ts';
import { parserOf } from '../../contract/validate.ts';
import type { MessageRefusals } from '../../service/mqtt/refused-messages.ts';
import { replaceFile } from '../../service/storage/data-dir.ts';

const NAMES_MAX = 10_000;
/** Bridges that read one strap. */
const GATEWAYS_MAX = 10;

const FILE_BYTES_MAX = 16 * 1024 * 1024;

/** Pairs: a device name may be `__proto__`. */
const parseNames = parserOf(
  Type.Array(
    Type.Object({
      device: Type.String({ maxLength: 256 }),
      gateways: Type.Array(gatewayNameSchema, { maxItems: GATEWAYS_MAX }),
    }),
    { maxItems: NAMES_MAX },
  ),
  FILE_BYTES_MAX,
);

export interface StrapNamesOptions {
  /** Whether this gateway's readings are delivered to this forwarder: only then its statuses count. */
  isDelivering: (gateway: string) => boolean;
  refused: MessageRefusals;
  /** Where the names are kept; left out: in memory only. */
  file?: string | undefined;
  /** A strap has got a name. */
  onNamed?: () => void;
}

export class StrapNames {
  readonly #options: StrapNamesOptions;
  /** Gateways by device. */
  readonly #gateways = new Map<string, Set<string>>();
  #saving: Promise<void> = Promise.resolve();
  #isUnsaved = false;

  constructor(options: StrapNamesOptions) {
    this.#options = options;
  }

  /** Reads what an earlier process kept. A missing or damaged file is an empty one. */
  start(): void {
    const { file } = this.#options;
    if (file === undefined) return;
    let text: string;
    try {
      text = readFileSync(file, 'utf8');
    } catch {
      return;
    }
    const names = parseNames(text);
    if (names.ok) for (const { device, gateways } of names.value) this.#gateways.set(device, new Set(gateways));
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
      if (this.#gateways.delete(device)) this.#save();
      return;
    }
    const status = parseDeviceStatus(payload);
    if (!status.ok) return this.#options.refused.refuse('device_status', topic, status.reason);
    // A bridge of version 1 does not say whose it is.
    if (status.value.device === device && status.value.gateway !== undefined) this.#note(device, status.value.gateway);
  }

  #note(device: string, gateway: string): void {
    const known = this.#gateways.get(device);
    if (known?.has(gateway) === true) return;
    if (known === undefined ? this.#gateways.size >= NAMES_MAX : known.size >= GATEWAYS_MAX) return;
    this.#gateways.set(device, new Set([...(known ?? []), gateway]));
    this.#save();
    this.#options.onNamed?.();
  }

  #save(): void {
    const { file } = this.#options;
    if (file === undefined || this.#isUnsaved) return;
    this.#isUnsaved = true;
    this.#saving = this.#saving.then(async () => {
      this.#isUnsaved = false;
      const names = [...this.#gateways].map(([device, gateways]) => ({ device, gateways: [...gateways] }));
      // On a full disk the names are known to this process, and to the broker.
      await replaceFile(file, `${JSON.stringify(names)}\n`, 0o600).catch(() => {});
    });
  }

  /** Resolves once everything is written. */
  async stop(): Promise<void> {
    await this.#saving;
  }
}
