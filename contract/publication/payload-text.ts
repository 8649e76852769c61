/** The text of a payload, if it is one. */
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The payload as text whose UTF-8 is exactly the payload, a byte order mark included; undefined if it is not valid UTF-8. */
export function exactText(payload: Uint8Array): string | undefined {
  try {
    return decoder.decode(payload);
  } catch {
    return undefined;
  }
}
