/** A health check: what was checked, its status, since when, why, and what to do. Part of every service status and of `GET /health`. */
import Type, { type Static } from 'typebox';
import { timeSchema } from './fields.ts';

export const CHECK_STATUSES = ['ok', 'warn', 'fail'] as const;

/** Longer reasons are cut by the status reporter. */
export const REASON_MAX_LENGTH = 4000;

export const checkSchema = Type.Object({
  /** What is checked, for display: "queue file". A program finds a check by its code. */
  name: Type.String({ minLength: 1, maxLength: 100 }),
  status: Type.Enum(CHECK_STATUSES),
  /** When `status` or `code` last changed. */
  since: timeSchema,
  /** Stable reason code (docs/errors.md); empty if ok. */
  code: Type.String({ pattern: '^([a-z][a-z0-9_]{0,63})?$' }),
  /** What was found, for a person; empty if ok. Never parsed. */
  reason: Type.String({ maxLength: REASON_MAX_LENGTH }),
  /** What to do; empty if ok. */
  hint: Type.String({ maxLength: 1000 }),
});
export type Check = Static<typeof checkSchema>;
export type CheckStatus = Check['status'];
