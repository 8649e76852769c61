/** Decides which straps are connected: BLE_ALLOW and BLE_DENY by address or name (with `*`), and aliases. Case-insensitive. */
import type { Config } from '../../service/config/config.ts';
import { DEVICE_PATTERN } from '../../contract/topics.ts';
import { HrError } from '../../service/errors/errors.ts';
import { deviceNameOf } from './device-names.ts';
import {
  aliasOf,
  canonicalPattern,
  covers,
  isSame,
  mayNameDevice,
  neverMatches,
  patternOf,
  type Pattern,
} from './strap-patterns.ts';
import { SERVICES, type Advertisement } from '../radio/radio.ts';

export type Verdict = 'wanted' | 'denied' | 'not_allowed' | 'no_strap';

type Judged = Pick<Advertisement, 'address' | 'name' | 'serviceUuids'>;

/** Entries of the settings that no strap can match, with the reason. */
export function unmatchable({
  BLE_ALLOW,
  BLE_DENY,
  BLE_ALIASES,
}: Pick<Config, 'BLE_ALLOW' | 'BLE_DENY' | 'BLE_ALIASES'>): { setting: string; entry: string; reason: string }[] {
  const aliases = BLE_ALIASES.map((entry) => entry.split('=')[0] ?? '');
  const denied = (entry: string): string | undefined => {
    const by = BLE_DENY.find((deny) => covers(deny, entry));
    return by === undefined ? undefined : `BLE_DENY=${by} excludes every strap that it matches`;
  };
  // Of two entries of the same text the later one holds; of two patterns that match the same name, the earlier one.
  const replaced = (entry: string, at: number): string | undefined => {
    if (aliases.slice(at + 1).some((later) => canonicalPattern(later) === canonicalPattern(entry)))
      return 'a later entry names the same strap';
    const earlier = aliases.slice(0, at).find((other) => isSame(other, entry) || (!mayNameDevice(entry) && covers(other, entry)));
    if (earlier === undefined || canonicalPattern(earlier) === canonicalPattern(entry)) return undefined;
    return `the earlier entry ${earlier} matches every strap that it matches`;
  };
  const lists: [setting: string, entries: readonly string[], reasonOf: (entry: string, at: number) => string | undefined][] = [
    ['BLE_ALLOW', BLE_ALLOW, (entry) => neverMatches(entry) ?? denied(entry)],
    ['BLE_DENY', BLE_DENY, neverMatches],
    ['BLE_ALIASES', aliases, (entry, at) => neverMatches(entry) ?? denied(entry) ?? replaced(entry, at)],
  ];
  return lists.flatMap(([setting, entries, reasonOf]) =>
    entries.flatMap((entry, at) => {
      const reason = reasonOf(entry, at);
      return reason === undefined ? [] : [{ setting, entry, reason }];
    }),
  );
}

export class StrapFilter {
  readonly #allow: readonly Pattern[];
  readonly #deny: readonly Pattern[];
  readonly #aliases: ReadonlyMap<string, string>;

  constructor(config: Pick<Config, 'BLE_ALLOW' | 'BLE_DENY'>, aliases: ReadonlyMap<string, string> = new Map()) {
    this.#allow = config.BLE_ALLOW.map(patternOf);
    this.#deny = config.BLE_DENY.map(patternOf);
    this.#aliases = aliases;
  }

  /**
   * BLE_DENY wins over BLE_ALLOW; with an allow list no other strap is connected. A strap with an alias is connected even if it does
   * not advertise 0x180D. `device` is its kept name, if any; a new strap is judged by the name it would get.
   */
  judge(strap: Judged, device?: string): Verdict {
    const { names, alias } = this.#namesOf(strap, device);
    const matches = (pattern: Pattern): boolean => names.some(pattern.matches);
    const heartRate = strap.serviceUuids.includes(SERVICES.heartRate);
    if (this.#deny.some(matches)) return 'denied';
    if (this.#allow.length === 0) return heartRate || alias !== undefined ? 'wanted' : 'no_strap';
    if (this.#allow.some((pattern) => (heartRate || pattern.specific) && matches(pattern))) return 'wanted';
    return heartRate ? 'not_allowed' : 'no_strap';
  }

  /** How BLE_ALLOW names a strap: as one strap, by a pattern that others may match as well, or not at all. */
  listed(strap: Judged, device?: string): 'one' | 'pattern' | undefined {
    const { names } = this.#namesOf(strap, device);
    const matching = this.#allow.filter(({ specific, matches }) => specific && names.some(matches));
    // A name is not an address: any number of straps may have it.
    if (
      matching.some(({ whole, matches }) => whole && (matches(strap.address) || matches(deviceNameOf(strap.address, strap.name))))
    )
      return 'one';
    return matching.length > 0 ? 'pattern' : undefined;
  }

  /** The names of a strap in lower case, and its alias. */
  #namesOf({ address, name }: Judged, device: string | undefined): { names: string[]; alias: string | undefined } {
    const given = deviceNameOf(address, name);
    const alias = aliasOf(this.#aliases, { address, base: device ?? given, name })?.alias ?? this.#aliases.get(given);
    const names = [address, name?.toLowerCase(), given, alias, device].filter((candidate) => candidate !== undefined);
    return { names, alias };
  }
}

/**
 * Reads BLE_ALIASES: `polar-h10-a1b2c3=anna`, `c0:ff:ee:a1:b2:c3=anna` or `Polar H10*=anna`. Throws HrError `config_invalid`.
 */
export function parseAliases(list: readonly string[]): Map<string, string> {
  const aliases = new Map<string, string>();
  const faults: string[] = [];
  for (const entry of list) {
    const [written, to, ...rest] = entry.split('=').map((part) => part.trim().toLowerCase());
    const from = written === undefined ? undefined : canonicalPattern(written);
    if (from === undefined || from === '' || to === undefined || rest.length > 0 || !DEVICE_PATTERN.test(to))
      faults.push(`BLE_ALIASES: must be device=alias, alias of a-z, 0-9 and - (got ${entry})`);
    else if ([...aliases.values()].includes(to)) faults.push(`BLE_ALIASES: duplicate alias ${to}`);
    else aliases.set(from, to);
  }
  if (faults.length > 0) throw new HrError('config_invalid', { operation: 'read the aliases', detail: faults.join('; ') });
  return aliases;
}
