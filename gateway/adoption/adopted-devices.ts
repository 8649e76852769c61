/** Who publishes which device: the most recent ones, for the gateway's status. */
const DEVICES_MAX = 200;

export class AdoptedDevices {
  /** In the order of the last reading. */
  readonly #publishers = new Map<string, string>();

  /** A reading of this device was adopted. */
  note(device: string, publisher: string): void {
    this.#publishers.delete(device);
    this.#publishers.set(device, publisher);
    if (this.#publishers.size <= DEVICES_MAX) return;
    const [oldest] = this.#publishers.keys();
    if (oldest !== undefined) this.#publishers.delete(oldest);
  }

  read(): { device: string; publisher: string }[] {
    return [...this.#publishers].map(([device, publisher]) => ({ device, publisher }));
  }
}
