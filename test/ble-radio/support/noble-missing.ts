import { createRequire } from 'node:module';

/** Why tests of noble without a virtual radio cannot run, for `{ skip: nobleMissing() }`; false if they can. Throws if CI=true. */
export function nobleMissing(): string | false {
  try {
    createRequire(import.meta.url).resolve('@abandonware/noble');
    return false;
  } catch {
    if (process.env['CI'] === 'true') throw new Error('@abandonware/noble is missing in CI');
    return '@abandonware/noble is optional and not installed';
  }
}
