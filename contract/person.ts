/**
 * Who wears a strap, as an operator entered it: retained on `edge/<gateway>/person/<device>`, which no anonymous client may read, and no
 * user but an operator. It stands in no reading, no device status and no metric, and is gone when the strap is forgotten.
 */
import Type, { type Static } from 'typebox';
import { nullable } from './fields.ts';
import { parserOf } from './validate.ts';

/** 1-64 code points, one of them visible; no control, format or line-separator characters. */
const NAME_PATTERN = /^(?=.*[^\s])[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]{1,64}$/u;

export const personFields = {
  /** Null: none was entered. */
  name: nullable(Type.String({ pattern: NAME_PATTERN.source, description: 'Name of the person who wears the strap' })),
  /** Beats a minute; heart-rate zones are shares of it. Null: none was entered. */
  max_heart_rate: nullable(
    Type.Integer({ minimum: 100, maximum: 250, description: "The person's highest heart rate, of which zones are shares" }),
  ),
};

export const personSchema = Type.Object(personFields);
export type Person = Static<typeof personSchema>;

/** Parses what is retained for a strap; never throws. */
export const parsePerson = parserOf(personSchema);
