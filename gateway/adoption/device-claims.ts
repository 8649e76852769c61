import { readFileSync } from 'node:fs';
import Type from 'typebox';
import { parserOf } from '../../contract/validate.ts';
import { writeFileAtomic } from '../../service/storage/data-dir.ts';

const parseNames = parserOf(Type.Array(Type.String({ maxLength: 256 }), { maxItems: 10_000 }));

/**
 * Device names that our bridges use: known from what they publish on `hr/<device>/status` and `hr/<device>/bpm`. Another client may not
 * publish readings there. A bridge that forgets a strap clears its retained status, which frees the name.
 *
 * They are kept on disk: after a restart of the gateway another client may be back before the bridge is.
 */
export class DeviceClaims {
  readonly #devices = new Set<string>();
  #file: string | undefined;

  /** Reads the names that an earlier process kept, and keeps changes in this file. A missing or damaged file is an empty one. */
  keepIn(file: string): void {
    this.#file = file;
    let text: string;
    try {
      text = readFileSync(file, 'utf8');
    } catch {
      return;
    }
    const names = parseNames(text);
    if (names.ok) for (const name of names.value) this.#devices.add(name);
  }

  #changed(): void {
    if (this.#file === undefined) return;
    try {
      writeFileAtomic(this.#file, `${JSON.stringify([...this.#devices])}\n`, 0o600);
    } catch {
      // On a full disk the names are known to this process only.
    }
  }

  /** A bridge has published this. */
  note(topic: string, payloadBytes: number): void {
    const [hr, device, kind, ...rest] = topic.split('/');
    if (hr !== 'hr' || device === undefined || rest.length > 0) return;
    if (kind === 'status' && payloadBytes === 0) {
      if (this.#devices.delete(device)) this.#changed();
    } else if ((kind === 'status' || kind === 'bpm') && !this.#devices.has(device)) {
      this.#devices.add(device);
      this.#changed();
    }
  }

  has(device: string): boolean {
    return this.#devices.has(device);
  }
}
