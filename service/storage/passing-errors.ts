/** Which failed file operations are worth trying again. */
import { systemCodeOf } from '../errors/errors.ts';

/** An error that may end without a change of the file or the configuration, so that opening the file is tried again. */
export const isPassing = (error: unknown): boolean =>
  /^(SQLITE_(FULL|IOERR|CANTOPEN|READONLY|BUSY|LOCKED)|ENOSPC|EDQUOT|EIO|EROFS|ETIMEDOUT|EAGAIN|EMFILE|ENFILE)/.test(
    systemCodeOf(error) ?? '',
  );
