/**
 * Device names that our bridges use: known from what they publish on `hr/<device>/status` and `hr/<device>/bpm`. Another client may not
 * publish readings there. A bridge that forgets a strap clears its retained status, which frees the name.
 */
export class DeviceClaims {
  readonly #devices = new Set<string>();

  /** A bridge has published this. */
  note(topic: string, payloadBytes: number): void {
    const [hr, device, kind, ...rest] = topic.split('/');
    if (hr !== 'hr' || device === undefined || rest.length > 0) return;
    if (kind === 'status' && payloadBytes === 0) this.#devices.delete(device);
    else if (kind === 'status' || kind === 'bpm') this.#devices.add(device);
  }

  has(device: string): boolean {
    return this.#devices.has(device);
  }
}
