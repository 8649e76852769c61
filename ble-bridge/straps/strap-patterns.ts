/** How people name straps in settings: by address in any of its forms, by name or device name, with `*` as a wildcard. */

const ADDRESS_DIGITS = /^[0-9a-f]{12}$/;
/** Groups of hexadecimal digits with separators, as in an address, but not six pairs. */
const BROKEN_ADDRESS = /^[0-9a-f]{1,4}(?:[:-][0-9a-f]{1,4}){2,}$/;
const ADDRESS_LIKE = /^(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}$/;

/** Lower case; an address (`C0-FF-…`, `C0FF…`) as `c0:ff:ee:a1:b2:c3`; anything else as it is. */
export function canonicalPattern(text: string): string {
  const lower = text.trim().toLowerCase();
  const digits = ADDRESS_LIKE.test(lower) ? lower.replace(/[:-]/g, '') : lower;
  return ADDRESS_DIGITS.test(digits) ? (digits.match(/../g) ?? []).join(':') : lower;
}

export interface Pattern {
  regex: RegExp;
  /** Names one strap: an address, or a name of three or more letters. Such a strap is connected even if it does not advertise 0x180D. */
  specific: boolean;
}

export function patternOf(text: string): Pattern {
  const canonical = canonicalPattern(text);
  const source = canonical
    .split('*')
    .map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'))
    .join('.*');
  // Names may hold any character.
  return { regex: new RegExp(`^${source}$`, 's'), specific: canonical.replaceAll('*', '').length >= 3 };
}

/** Why no strap can ever match, or undefined. */
export function neverMatches(text: string): string | undefined {
  const canonical = canonicalPattern(text);
  if (canonical === '') return 'it is empty';
  if (BROKEN_ADDRESS.test(canonical) && !ADDRESS_LIKE.test(canonical))
    return 'it looks like an address, but has not six pairs of digits';
  if (canonical.replaceAll('*', '').length > 64) return 'it is longer than any name';
  return undefined;
}

/** The alias of a strap: by device name, by address, else by its advertised name. */
export function aliasOf(
  aliases: ReadonlyMap<string, string>,
  strap: { address: string; base: string; name: string | null | undefined },
): { alias: string; byName: boolean } | undefined {
  const exact = aliases.get(strap.base) ?? aliases.get(strap.address);
  if (exact !== undefined) return { alias: exact, byName: false };
  const name = strap.name?.toLowerCase();
  if (name === undefined) return undefined;
  for (const [from, alias] of aliases) if (patternOf(from).regex.test(name)) return { alias, byName: true };
  return undefined;
}
