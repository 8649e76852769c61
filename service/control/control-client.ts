/** Asks a running service of this machine through its control socket. */
import { randomUUID } from 'node:crypto';
import { connect } from 'node:net';
import path from 'node:path';
import {
  CONTROL_MAX_BYTES,
  controlResultCheckerOf,
  type ControlArgs,
  type ControlResult,
  type ControlVerb,
} from '../../contract/control.ts';
import { responseSchema } from '../../contract/response.ts';
import type { ServiceName } from '../../contract/topics.ts';
import { parserOf } from '../../contract/validate.ts';
import { HrError, isErrorCode, messageOf, systemCodeOf } from '../errors/errors.ts';
import { CONTROL_FOLDER, controlSocketName, shortSocketPath } from './socket-path.ts';

const DEFAULT_TIMEOUT_MS = 5000;
const parseAnswer = parserOf(responseSchema, CONTROL_MAX_BYTES);
/** Nobody listens: no such socket, or one that a killed process left. */
const NOT_THERE = new Set(['ENOENT', 'ECONNREFUSED', 'ENOTDIR']);

/** Sends one line and returns the answer's line; undefined if nobody listens. Throws what `node:net` throws for anything else. */
async function exchange(dataDir: string, service: ServiceName, line: string, timeoutMs: number): Promise<string | undefined> {
  let short: ReturnType<typeof shortSocketPath>;
  try {
    short = shortSocketPath(path.join(dataDir, CONTROL_FOLDER), controlSocketName(service));
  } catch (error) {
    if (NOT_THERE.has(systemCodeOf(error) ?? '')) return undefined;
    throw error;
  }
  try {
    return await new Promise<string | undefined>((resolve, reject) => {
      const socket = connect(short.path);
      const limit = setTimeout(() => {
        socket.destroy();
        reject(new HrError('command_timeout', { operation: service, detail: `no answer within ${timeoutMs} ms` }));
      }, timeoutMs);
      let text = '';
      socket.setEncoding('utf8');
      socket.on('connect', () => socket.write(`${line}\n`));
      socket.on('data', (chunk: string) => (text += chunk));
      socket.on('error', (error) => {
        clearTimeout(limit);
        if (NOT_THERE.has(systemCodeOf(error) ?? '')) resolve(undefined);
        else reject(error);
      });
      socket.on('close', () => {
        clearTimeout(limit);
        resolve(text);
      });
    });
  } finally {
    short.release();
  }
}

/**
 * The result of a command, or undefined if this service does not run on this DATA_DIR. Throws HrError: `data_dir_unusable` if this user may
 * not open the socket, `command_timeout`, or the service's code.
 */
export async function askService<V extends ControlVerb>(
  dataDir: string,
  service: ServiceName,
  verb: V,
  args: ControlArgs<V>,
  { timeoutMs = DEFAULT_TIMEOUT_MS }: { timeoutMs?: number } = {},
): Promise<ControlResult<V> | undefined> {
  const operation = `${service}/${verb}`;
  let text: string | undefined;
  try {
    text = await exchange(dataDir, service, JSON.stringify({ id: randomUUID(), verb, args }), timeoutMs);
  } catch (error) {
    if (error instanceof HrError) throw error;
    const isForbidden = ['EACCES', 'EPERM'].includes(systemCodeOf(error) ?? '');
    throw new HrError('data_dir_unusable', {
      operation,
      detail: isForbidden ? `this user may not use ${dataDir}` : messageOf(error),
      cause: error,
      ...(isForbidden ? { hint: 'Run the command as the user of the services, or as root: sudo hr-gateway …' } : {}),
    });
  }
  if (text === undefined) return undefined;
  const answer = parseAnswer(text);
  if (!answer.ok) throw new HrError('command_failed', { operation, detail: text === '' ? 'it ended meanwhile' : answer.reason });
  if (!answer.value.ok) {
    const { code, message, hint } = answer.value.error;
    throw new HrError(isErrorCode(code) ? code : 'command_failed', { operation, detail: message, hint });
  }
  const result = controlResultCheckerOf(verb)(answer.value.result);
  if (result.ok) return result.value;
  throw new HrError('command_failed', {
    operation,
    detail: `the answer does not match this version: ${result.reason}`,
    hint: 'The running service and this command are of different versions: restart the service.',
  });
}
