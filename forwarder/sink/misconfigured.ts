/**
 * A variable of the environment, or a file that it names, cannot be used. The message names the variable. A retry helps once the file
 * has been corrected; a variable needs a restart.
 */
export class Misconfigured extends Error {
  override readonly name = 'Misconfigured';
}
