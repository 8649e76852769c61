/** `DATA_DIR/users.json`: users of the broker, written by `users` and read by the running gateway. */
import Type, { type Static } from 'typebox';
import { gatewayNameSchema } from './delivery.ts';
import { parserOf } from './validate.ts';

export const userSchema = Type.Object(
  {
    /** Base64. */
    salt: Type.String({ maxLength: 256 }),
    /** scrypt of the password, base64. */
    hash: Type.String({ maxLength: 256 }),
    /** Topic filters. */
    publish: Type.Array(Type.String({ maxLength: 1024 }), { maxItems: 1000 }),
    subscribe: Type.Array(Type.String({ maxLength: 1024 }), { maxItems: 1000 }),
    /** Name of the box whose bridge this is: its rights on the delivery plane follow from the name. */
    bridge: Type.Optional(gatewayNameSchema),
    /** Earlier names of that box: its bridge may deliver what it still holds under them. */
    formerly: Type.Optional(Type.Array(gatewayNameSchema, { maxItems: 20 })),
    /** May subscribe to everything. */
    operator: Type.Optional(Type.Literal(true)),
  },
  // Unknown fields are refused: a misspelled right must not be ignored.
  { additionalProperties: false },
);
export type User = Static<typeof userSchema>;

/** Users by name. */
export const usersFileSchema = Type.Record(Type.String({ pattern: '^[\\s\\S]*$' }), userSchema);
export type UsersFile = Static<typeof usersFileSchema>;

/** Parses users.json; never throws. */
export const parseUsersFile = parserOf(usersFileSchema, 16 * 1024 * 1024);
