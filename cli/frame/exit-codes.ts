/** Exit codes of every `hr-gateway` command; `--help` lists them. `start` ends with the codes of a service instead. */
export const EXIT_CODES = {
  ok: 0,
  /** The command could not do its work, or what it checked is at fault. */
  failed: 1,
  /** Wrong command, option or argument, or a faulty setting. */
  usage: 2,
} as const;

export type ExitCode = (typeof EXIT_CODES)[keyof typeof EXIT_CODES];

/** Shells report a process that a signal ended as 128 plus the signal's number. */
export const SIGNAL_EXIT_CODES = { SIGINT: 130, SIGTERM: 143 } as const;

/** The lines about exit codes at the end of every help text. */
export const EXIT_CODES_HELP = [
  'Exit codes:',
  '  0    done',
  '  1    failed, or a checked item is at fault',
  '  2    wrong command, option or argument, or a faulty setting',
  '  130  interrupted (Ctrl-C)',
].join('\n');
