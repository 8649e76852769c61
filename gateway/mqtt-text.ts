/**
 * Strings of MQTT packets: U+0000 and code points U+D800 to U+DFFF must not be in them, and a server must close the connection on them
 * ([MQTT-1.5.3-1], [MQTT-1.5.3-2]). mqtt-packet does not check either: it turns an encoded surrogate into U+FFFD, so two different topics
 * become one.
 */
import type { Client } from 'aedes';

/** Private parts of mqtt-packet's parser. */
interface Parser {
  _pos: number;
  _list: { slice(from: number, to: number): Buffer };
  _parseString(): string | null;
}

/** The first byte of an encoded surrogate is 0xED, the second one 0xA0 to 0xBF (RFC 3629 section 3). */
function hasSurrogate(bytes: Buffer): boolean {
  for (let at = bytes.indexOf(0xed); at >= 0 && at + 1 < bytes.length; at = bytes.indexOf(0xed, at + 1))
    if ((bytes[at + 1] ?? 0) >= 0xa0) return true;
  return false;
}

/** Why a string is not allowed; undefined if it is. `bytes` are needed only if the text has U+FFFD. */
export function textFault(text: string, bytes: () => Buffer): 'null_character' | 'surrogate' | undefined {
  if (text.includes('\0')) return 'null_character';
  return text.includes('\ufffd') && hasSurrogate(bytes()) ? 'surrogate' : undefined;
}

/**
 * Checks every string that a client sends. `onFault` is called for one that is not allowed, and has to close the connection; its packet is
 * not handled. Returns false, and checks nothing, if the parser is not the known one.
 */
export function checkStrings(client: Client, onFault: (fault: 'null_character' | 'surrogate') => void): boolean {
  const parser = (client as unknown as { _parser?: Partial<Parser> })._parser as Parser | undefined;
  if (typeof parser?._parseString !== 'function') return false;
  const parse = parser._parseString.bind(parser);
  parser._parseString = () => {
    const from = parser._pos + 2;
    const text = parse();
    if (text === null) return null;
    const fault = textFault(text, () => parser._list.slice(from, parser._pos));
    if (fault === undefined) return text;
    onFault(fault);
    // The packet cannot be parsed.
    return null;
  };
  return true;
}
