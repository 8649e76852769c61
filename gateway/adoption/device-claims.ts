import Type from 'typebox';
import { parserOf } from '../../contract/validate.ts';
import type { CheckReport } from '../../service/health/check-report.ts';
import type { Logger } from '../../service/log/log.ts';
import { StateFile } from '../../service/storage/state-file.ts';

const parseNames = parserOf(Type.Array(Type.String({ maxLength: 256 }), { maxItems: 10_000 }), 4 * 1024 * 1024);

/**
 * Device names that our bridges use: known from what they publish on `hr/<device>/status` and `hr/<device>/bpm`. Another client may not
 * publish readings there. A bridge that forgets a strap clears its retained status, which frees the name.
 *
 * They are kept on disk: after a restart of the gateway another client may be back before the bridge is.
 */
export class DeviceClaims {
  readonly #devices = new Set<string>();
  /** Names that were freed while the file could not be read. */
  readonly #freed = new Set<string>();
  #file: StateFile<string[]> | undefined;

  /** Reads the names that an earlier process kept, and keeps changes in this file. */
  keepIn(file: string, log?: Logger): void {
    this.#file = new StateFile({
      file: () => file,
      name: 'device_claims',
      consequence: 'other clients may publish under the name of a strap until its bridge is back',
      log,
      parse: parseNames,
      onLoaded: (names) => {
        for (const name of names) if (!this.#freed.has(name)) this.#devices.add(name);
        this.#freed.clear();
      },
      text: () => `${JSON.stringify([...this.#devices])}\n`,
    });
    this.#file.load();
  }

  /** A bridge has published this. */
  note(topic: string, payloadBytes: number): void {
    const [hr, device, kind, ...rest] = topic.split('/');
    if (hr !== 'hr' || device === undefined || rest.length > 0) return;
    if (kind === 'status' && payloadBytes === 0) this.#free(device);
    else if ((kind === 'status' || kind === 'bpm') && !this.#devices.has(device)) {
      this.#devices.add(device);
      this.#freed.delete(device);
      this.#file?.changed();
    }
  }

  #free(device: string): void {
    const isFileRead = this.#file?.isLoaded !== false;
    if (!isFileRead) this.#freed.add(device);
    if (this.#devices.delete(device) || !isFileRead) this.#file?.changed();
  }

  has(device: string): boolean {
    return this.#devices.has(device);
  }

  /** A check while something is wrong with the file. */
  checks(): CheckReport[] {
    return this.#file?.checks() ?? [];
  }

  /** Resolves once changes are written, or the disk refuses them. */
  async stop(): Promise<void> {
    await this.#file?.stop();
  }
}
