/** When the stream's file cannot be used: requests are answered with InternalFailure, and a header gives the forwarder the reason code. */
import { messageOf, systemCodeOf } from '../service/errors/errors.ts';
import { isPassing } from '../service/storage/passing-errors.ts';

/** The file is not open; its owner has reported why. */
export class FileUnusable extends Error {}

/** What a failed operation on the file says of the disk or of a lock; undefined if it failed for another reason. */
export const fileTroubleOf = (error: unknown): string | undefined =>
  isPassing(error) ? `${systemCodeOf(error) ?? ''}: ${messageOf(error)}` : undefined;
