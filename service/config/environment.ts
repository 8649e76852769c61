/** An environment, as processes have one. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** True if the environment sets a value; an empty value counts as not set. */
export function isSetIn(environment: Environment, name: string): boolean {
  return (environment[name] ?? '').trim() !== '';
}
