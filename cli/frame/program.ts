/** The frame of `hr-gateway`: parses the command line, runs one command, and turns its outcome into an exit code. */
import { Command, CommanderError } from 'commander';
import { processConfig, useSettingsFile } from '../../service/config/config.ts';
import { VERSION } from '../../service/process/version.ts';
import { EXIT_CODES, EXIT_CODES_HELP } from './exit-codes.ts';
import { exitCodeOf, failureText } from './failures.ts';
import { flagOf, textOf } from './options.ts';
import { ProcessEnds } from './process-ends.ts';

/** What the frame offers to a command. */
export interface Frame {
  /** Leaves signals, output errors and uncaught errors to the command: for `start`, which runs services. */
  leaveEndsToCommand(): void;
}

/**
 * Adds one command: its name, summary, arguments, options and action. The action sets `process.exitCode` if what it checked is at
 * fault, and throws if it could not do its work. It imports what it needs when it runs, so that `--help` stays quick and has no
 * side effects.
 */
export type AddCommand = (program: Command, frame: Frame) => void;

/** "error: unknown command 'docter'\n(Did you mean doctor?)" as one line. */
function usageLine(text: string): string {
  const line = text
    .trim()
    .replace(/^error: /, '')
    .replace(/\s*\n\(Did you mean (.*)\?\)$/s, ', did you mean $1?');
  return `hr-gateway: ${line}\n`;
}

function createProgram(commands: readonly AddCommand[], frame: Frame): Command {
  const program = new Command('hr-gateway')
    .description('Heart-rate readings from Bluetooth straps into AWS Kinesis: the command for operators of a box.')
    .usage('<command> [options]')
    .version(VERSION, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command')
    .option('-v, --verbose', 'print the stack trace of an error')
    .option('--settings <file>', 'a file of settings, as systemd reads them; what the environment sets wins')
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({ outputError: (text, write) => write(usageLine(text)) })
    .showHelpAfterError('hr-gateway --help lists commands and options.')
    .addHelpText('after', '\nSettings come from environment variables: hr-gateway config prints them.')
    .hook('preAction', (root) => {
      const file = textOf(root, 'settings');
      if (file !== undefined) useSettingsFile(file);
    })
    .addHelpText('afterAll', `\n${EXIT_CODES_HELP}`)
    .exitOverride();
  for (const add of commands) add(program, frame);
  return program;
}

/** LOG_LEVEL asks for details; a setting that cannot be read does not. */
function debugging(): boolean {
  try {
    return ['debug', 'trace'].includes(processConfig().LOG_LEVEL);
  } catch {
    return false;
  }
}

/** Runs `hr-gateway` with these arguments (without `node` and the script) to its end; a failure ends the process. */
export async function runCommandLine(commands: readonly AddCommand[], args: readonly string[]): Promise<void> {
  const fail = (error: unknown): never => {
    console.error(failureText(error, { verbose: flagOf(program, 'verbose') || debugging() }));
    // Not left to the event loop: what the command opened may keep it busy.
    process.exit(exitCodeOf(error));
  };
  const ends = new ProcessEnds(fail);
  const program = createProgram(commands, { leaveEndsToCommand: () => ends.remove() });
  ends.install();
  try {
    await program.parseAsync(args, { from: 'user' });
  } catch (error) {
    // Thrown for help and version, too: commander has printed them, and the line of a usage error.
    if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? EXIT_CODES.ok : EXIT_CODES.usage;
    else fail(error);
  }
}
