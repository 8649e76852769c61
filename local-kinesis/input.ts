/** Reads typed fields of a request. Each function throws a ValidationException that names the field. */
import { validation } from './kinesis-error.ts';

export type Input = Readonly<Record<string, unknown>>;

export function asInput(value: unknown): Input {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw validation('The request is not an object');
  return value as Input;
}

const missing = (field: string): Error =>
  validation(`1 validation error detected: Value null at '${field}' failed to satisfy constraint: Member must not be null`);

export function text(input: Input, field: string): string {
  const value = input[field];
  if (value === undefined || value === null) throw missing(field);
  if (typeof value !== 'string') throw validation(`${field} must be a string`);
  return value;
}

export function optionalText(input: Input, field: string): string | undefined {
  return input[field] === undefined || input[field] === null ? undefined : text(input, field);
}

export function integer(input: Input, field: string, bounds: { min: number; max: number; otherwise?: number }): number {
  const value = input[field];
  if (value === undefined || value === null) {
    if (bounds.otherwise === undefined) throw missing(field);
    return bounds.otherwise;
  }
  if (typeof value !== 'number' || !Number.isInteger(value)) throw validation(`${field} must be a whole number`);
  if (value < bounds.min || value > bounds.max)
    throw validation(
      `1 validation error detected: Value '${value}' at '${field}' failed to satisfy constraint: ` +
        `Member must have value between ${bounds.min} and ${bounds.max}`,
    );
  return value;
}

export function list(input: Input, field: string): unknown[] {
  const value = input[field];
  if (value === undefined || value === null) throw missing(field);
  if (!Array.isArray(value)) throw validation(`${field} must be a list`);
  return value;
}

/** The stream of a request, by StreamName or StreamARN. */
export function streamName(input: Input): string {
  const name = optionalText(input, 'StreamName');
  if (name !== undefined) return name;
  const arn = optionalText(input, 'StreamARN');
  const match = arn === undefined ? null : /stream\/([^/]+)/.exec(arn);
  if (match?.[1] === undefined) throw validation('StreamName or StreamARN is required');
  return match[1];
}

/** Bytes, which the request has in base64. */
export function bytes(input: Input, field: string): Buffer {
  const value = text(input, field);
  return Buffer.from(value, 'base64');
}
