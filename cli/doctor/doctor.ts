/** `npm run doctor`: looks at everything that the gateway needs, a line each with what to do; exit code 1 where a line fails. */
import { parseArgs } from 'node:util';
import type { ForwarderStatus } from '../../contract/service-status.ts';
import { processConfig } from '../../service/config/config.ts';
import { reportStartFailure } from '../../service/process/lifecycle.ts';
import { messageOf } from '../../service/errors/errors.ts';
import { createLogger } from '../../service/log/log.ts';
import { clockLine, diskLine } from './box-lines.ts';
import { fail, type DoctorLine } from './check-line.ts';
import { radioLines } from './radio-lines.ts';
import { missingKeyLine, readStatuses, serviceLines } from './service-lines.ts';
import { streamLines } from './stream-lines.ts';

const MARKS = { ok: ' ok ', warn: 'warn', fail: 'FAIL' } as const;

function printed({ name, status, found, advice }: DoctorLine, width: number): string {
  const line = `${MARKS[status]}  ${name.padEnd(width)}  ${found}`;
  return advice === '' ? line : `${line}\n${' '.repeat(width + 8)}→ ${advice}`;
}

/** A look that fails is a line of its own: the others are still worth reading. */
async function look(name: string, lines: () => DoctorLine[] | Promise<DoctorLine[]>): Promise<DoctorLine[]> {
  try {
    return await lines();
  } catch (error) {
    return [
      fail(
        name,
        messageOf(error),
        'Run the doctor as the user of the services (in containers: docker compose run --rm --no-deps ble-bridge node dist/cli/doctor/main.js).',
      ),
    ];
  }
}

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { json: { type: 'boolean', default: false } } });
  const config = processConfig();
  const log = createLogger('doctor', { LOG_LEVEL: 'silent', LOG_PRETTY: 'false' });
  let shipsTo: ForwarderStatus | undefined;
  const lines = [
    ...(await look('radio', () => radioLines(config))),
    ...(await look('clock', () => [clockLine()])),
    ...(await look('disk', () => [diskLine(config)])),
    ...(await look('broker', async () => {
      const missing = missingKeyLine(config);
      if (missing !== undefined) return [missing];
      const heard = await readStatuses(config, log);
      shipsTo = heard?.get('forwarder')?.forwarder;
      return serviceLines(config, heard);
    })),
    ...(await look('AWS', async () => await streamLines(config, shipsTo))),
  ];
  if (values.json) console.log(JSON.stringify(lines, null, 2));
  else {
    const width = Math.max(...lines.map(({ name }) => name.length));
    for (const line of lines) console.log(printed(line, width));
  }
  return lines.some(({ status }) => status === 'fail') ? 1 : 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  process.exitCode = reportStartFailure(error);
}
