/** The connection to the broker, as publishers need it. */
export interface PublishLine {
  /** False if there is no connection; nothing was sent then. */
  publish(topic: string, payload: string, options?: { retain?: boolean }): boolean;
}
