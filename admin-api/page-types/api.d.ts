/** What the page gets from the admin API; the types are derived from the schemas that the API answers with. */
export type {
  DeviceEvent,
  Health,
  KnownDevice,
  Overview,
  QueueAnswer,
  QueueHistory,
  Rates,
  ReadingEvent,
  RecentReading,
} from '../answer-schemas.ts';
export type { Check } from '../../contract/check.ts';
export type { DeadLetter, DeadLetters } from '../../contract/dead-letter.ts';
export type { DeviceStatus } from '../../contract/device-status.ts';
