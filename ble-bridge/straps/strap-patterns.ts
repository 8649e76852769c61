/**
 * How people name straps in settings: by address in any of its forms, by name or device name, with `*` as a wildcard. What separates the
 * words of a name does not matter: `Polar_H10*` names a Polar H10.
 */

/** Separators that people write between the digits of an address: `C0-FF-…`, `c0ff.eea1.b2c3`, `C0 FF …`. */
const SEPARATORS = /[:\-._ ]/g;
const ADDRESS_DIGITS = /^[0-9a-f]{12}$/;
const WHOLE_ADDRESS = /^(?:[0-9a-f]{2}[:\-._ ]){5}[0-9a-f]{2}$|^(?:[0-9a-f]{4}[.:-]){2}[0-9a-f]{4}$/;
/** Part of an address beside a wildcard: `c0:*`, `c0:ff:*`, two or more pairs with hyphens, or at least six digits without separators. */
const PART_OF_ADDRESS = [
  /^\*?:?(?:[0-9a-f]{2}:){1,5}(?:[0-9a-f]{2}:?)?\*?$/,
  /^\*?-?[0-9a-f]{2}(?:-[0-9a-f]{2}){1,4}-?\*?$/,
  /^\*?[0-9a-f]{6,11}\*?$/,
];
/** Groups of digits with separators, as in an address, but not six pairs of hexadecimal digits. */
const BROKEN_ADDRESS = [
  /^[0-9a-f]{1,4}(?:[:-][0-9a-f]{1,4}){2,}$/,
  /^[0-9a-z]{1,3}(?::[0-9a-z]{1,3}){2,}$/,
  /^(?:[0-9a-z]{2}-){5}[0-9a-z]{2}$/,
  /^(?:[0-9a-f]{2}[._ ]){4,}[0-9a-f]{1,2}$/,
];
/** A digit too few or too many. */
const BROKEN_DIGITS = /^(?=.*[0-9])(?=.*[a-f])(?:[0-9a-f]{11}|[0-9a-f]{13})$/;
/** Anchors and delimiters of regular expressions. */
const REGULAR_EXPRESSION = /^\^|\$$|^\/.+\/[a-z]*$/;
/** Longer than any name, in code points. */
const LONGEST = 64;

/** Lower case, with single spaces and without quotation marks around it, as names are cleaned before they are compared. */
function plain(text: string): string {
  const words = text.normalize('NFC').replace(/\s+/gu, ' ').trim().toLowerCase();
  return /^(["']).*\1$/s.test(words) ? words.slice(1, -1).trim() : words;
}

/** As `plain`; a whole address in any form as `c0:ff:ee:a1:b2:c3`. */
export function canonicalPattern(text: string): string {
  const words = plain(text);
  const digits = WHOLE_ADDRESS.test(words) ? words.replace(SEPARATORS, '') : words;
  return ADDRESS_DIGITS.test(digits) ? (digits.match(/../g) ?? []).join(':') : words;
}

/** With one separator in place of all that people write between words, and plain quotation marks; of a name in lower case, or a pattern. */
function separated(text: string): string {
  return text.replace(/[\s_.\p{Pd}]+/gu, '-').replace(/[\u2018\u2019\u02bc]/g, "'");
}

/** With `*` as a wildcard. Names may hold any character. */
function globOf(text: string): RegExp {
  const parts = text.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`, 's');
}

export interface Pattern {
  /** Whether a name, a device name or an address (`c0:ff:ee:a1:b2:c3`) matches; in lower case. */
  matches: (candidate: string) => boolean;
  /** Names one strap: an address, or a name of three or more letters. Such a strap is connected even if it does not advertise 0x180D. */
  specific: boolean;
  /** A whole address or name, without a wildcard. */
  whole: boolean;
  /** Part of an address: every device of a maker, or one whose address is known in part. */
  partOfAddress: boolean;
  /** Whether it names the device with this device name, and no other. */
  isDevice: (device: string) => boolean;
}

export function patternOf(text: string): Pattern {
  const canonical = canonicalPattern(text);
  const glob = globOf(canonical);
  const whole = !canonical.includes('*');
  const partOfAddress = !whole && PART_OF_ADDRESS.some((form) => form.test(canonical));
  const words = separated(canonical);
  const wordsGlob = globOf(words);
  const digits = partOfAddress ? globOf(canonical.replace(SEPARATORS, '')) : undefined;
  return {
    matches: (candidate) =>
      glob.test(candidate) ||
      wordsGlob.test(separated(candidate)) ||
      (digits !== undefined && WHOLE_ADDRESS.test(candidate) && digits.test(candidate.replaceAll(':', ''))),
    specific: canonical.replaceAll('*', '').length >= 3,
    whole,
    partOfAddress,
    isDevice: (device) => whole && words === device,
  };
}

/** Whether whatever `inner` matches is matched by `outer` as well, as far as their texts tell. */
export function covers(outer: string, inner: string): boolean {
  return globOf(separated(canonicalPattern(outer))).test(separated(canonicalPattern(inner)));
}

/** Whether it can be a device name, or names one strap by its address: such an alias comes before those by name. */
export function mayNameDevice(text: string): boolean {
  const words = separated(canonicalPattern(text));
  return WHOLE_ADDRESS.test(words) || /^[a-z0-9-]+-[0-9a-f]{6,12}$/.test(words);
}

/** Whether the texts name the same straps. */
export const isSame = (a: string, b: string): boolean => separated(canonicalPattern(a)) === separated(canonicalPattern(b));

/** Several addresses, or entries that are separated by something else than commas. */
function namesSeveral(canonical: string): boolean {
  const parts = canonical.split(/[;|]|\s+(?=(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2})/).map((part) => part.trim());
  return parts.filter((part) => part !== '').length > 1;
}

/** Why no strap can ever match, or undefined. */
export function neverMatches(text: string): string | undefined {
  const canonical = canonicalPattern(text);
  if (canonical === '') return 'it is empty';
  if (WHOLE_ADDRESS.test(canonical))
    return /^(?:00:){5}00$|^(?:ff:){5}ff$/.test(canonical) ? 'no device has this address' : undefined;
  if (namesSeveral(canonical)) return 'entries are separated by commas';
  if (BROKEN_ADDRESS.some((form) => form.test(canonical)) || BROKEN_DIGITS.test(canonical))
    return 'it looks like an address, but has not six pairs of hexadecimal digits';
  if (REGULAR_EXPRESSION.test(canonical)) return 'it is written as a regular expression; the only wildcard is *';
  if (/[\p{C}\u{fffd}]/u.test(canonical)) return 'it has a character that is removed from names';
  if (Array.from(canonical.replaceAll('*', '')).length > LONGEST) return 'it is longer than any name';
  return undefined;
}

const compiled = new WeakMap<ReadonlyMap<string, string>, (readonly [Pattern, string])[]>();

function compiledOf(aliases: ReadonlyMap<string, string>): (readonly [Pattern, string])[] {
  const known = compiled.get(aliases);
  if (known !== undefined) return known;
  const made = [...aliases].map(([from, alias]) => [patternOf(from), alias] as const);
  compiled.set(aliases, made);
  return made;
}

/** The alias of a strap: by device name, by address, else by its advertised name. */
export function aliasOf(
  aliases: ReadonlyMap<string, string>,
  { address, base, name }: { address: string; base: string; name: string | null | undefined },
): { alias: string; byName: boolean } | undefined {
  if (aliases.size === 0) return undefined;
  const exact = aliases.get(base) ?? aliases.get(address) ?? compiledOf(aliases).find(([{ isDevice }]) => isDevice(base))?.[1];
  if (exact !== undefined) return { alias: exact, byName: false };
  for (const [pattern, alias] of compiledOf(aliases)) {
    if (name !== undefined && name !== null && pattern.matches(name.toLowerCase())) return { alias, byName: true };
    if (pattern.partOfAddress && pattern.matches(address)) return { alias, byName: true };
  }
  return undefined;
}
