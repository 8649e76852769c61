/** `npm run doctor`: looks at everything that the gateway needs, a line each with what to do; exit code 1 where a line fails. */
import { parseArgs } from 'node:util';
import { processConfig } from '../../service/config.ts';
import { reportStartFailure } from '../../service/lifecycle.ts';
import { createLogger } from '../../service/log.ts';
import { awsLines } from './aws-lines.ts';
import { clockLine, diskLine } from './box-lines.ts';
import type { DoctorLine } from './check-line.ts';
import { radioLines } from './radio-lines.ts';
import { serviceLines } from './service-lines.ts';

const MARKS = { ok: ' ok ', warn: 'warn', fail: 'FAIL' } as const;

function printed({ name, status, found, advice }: DoctorLine, width: number): string {
  const line = `${MARKS[status]}  ${name.padEnd(width)}  ${found}`;
  return advice === '' ? line : `${line}\n${' '.repeat(width + 8)}→ ${advice}`;
}

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { json: { type: 'boolean', default: false } } });
  const config = processConfig();
  const log = createLogger('doctor', { LOG_LEVEL: 'silent', LOG_PRETTY: 'false' });
  const lines = [...radioLines(config), clockLine(), diskLine(config), ...(await serviceLines(config, log)), ...(await awsLines(config))];
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
