/** The health of the whole box in short, as the admin API sees it. Part of its service status; the reasons are in `GET /health`. */
import Type, { type Static } from 'typebox';
import { checkSchema } from './check.ts';

export const HEALTH_STATUSES = ['ok', 'degraded', 'down'] as const;

export const BOX_FAILING_MAX = 20;

export const boxStatusSchema = Type.Object({
  status: Type.Enum(HEALTH_STATUSES),
  /** Checks that do not pass. */
  failing: Type.Array(Type.Object({ name: checkSchema.properties.name, code: checkSchema.properties.code }), {
    maxItems: BOX_FAILING_MAX,
  }),
});
export type BoxStatus = Static<typeof boxStatusSchema>;
