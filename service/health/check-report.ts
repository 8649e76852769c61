/** What a service reports of its own health; the status reporter adds since when. Hints come from the reason catalogue, by code. */
import type { Check } from '../../contract/check.ts';
import { hintOf, type ReasonCode } from '../errors/reason-catalogue.ts';
import { maskSecrets } from '../secrets/mask.ts';

/** A check without `since`. `code` is '' if and only if `status` is `ok`. */
export type CheckReport = Omit<Check, 'since' | 'code'> & { code: ReasonCode | '' };

/** A check that passes. */
export const okCheck = (name: string): CheckReport => ({ name, status: 'ok', code: '', reason: '', hint: '' });

/** A check that fails. `detail`: what was found, for a person, without the code; `hint` replaces the catalogue's if given. */
export const failing = (name: string, code: ReasonCode, detail: string, hint = hintOf(code)): CheckReport => ({
  name,
  status: 'fail',
  code,
  reason: maskSecrets(detail),
  hint,
});

/** A check that warns: degraded, but nothing is lost. Arguments as in `failing`. */
export const warning = (name: string, code: ReasonCode, detail: string, hint = hintOf(code)): CheckReport => ({
  ...failing(name, code, detail, hint),
  status: 'warn',
});
