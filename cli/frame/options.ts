/** Typed access to what commander parsed: its own types are `any`. */
import { InvalidArgumentError, type Command } from 'commander';

/** True if the flag was given. */
export function flagOf(command: Command, name: string): boolean {
  return command.opts<Record<string, unknown>>()[name] === true;
}

/** The text of an option, or undefined if it was not given and has no default. */
export function textOf(command: Command, name: string): string | undefined {
  const value = command.opts<Record<string, unknown>>()[name];
  return typeof value === 'string' ? value : undefined;
}

/** The number of an option that `parsePositiveInteger` parsed, or undefined if it was not given. */
export function numberOf(command: Command, name: string): number | undefined {
  const value = command.opts<Record<string, unknown>>()[name];
  return typeof value === 'number' ? value : undefined;
}

/** All values of an option that `collect` parsed, in the order given. */
export function listOf(command: Command, name: string): string[] {
  const value = command.opts<Record<string, unknown>>()[name];
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}

/** Parser of an option that may be repeated: `--subscribe A --subscribe B`. */
export function collect(value: string, previous: readonly string[] | undefined): string[] {
  return [...(previous ?? []), value];
}

/** Parser of a whole number of at least 1. */
export function parsePositiveInteger(value: string): number {
  const number = /^\d{1,15}$/.test(value) ? Number(value) : 0;
  if (number < 1) throw new InvalidArgumentError('It must be a whole number of at least 1.');
  return number;
}
