/** The `hr-gateway` command. A new command is one file and one line here; cli/frame has what all commands share. */
import { addAcl } from './commands/acl.ts';
import { addBackup } from './commands/backup.ts';
import { addCompletion } from './commands/completion.ts';
import { addConfig } from './commands/config.ts';
import { addExport } from './commands/export.ts';
import { addPrepareVolumes } from './commands/prepare-volumes.ts';
import { addReplay } from './commands/replay.ts';
import { addRestore } from './commands/restore.ts';
import { addStart } from './commands/start.ts';
import { addTail } from './commands/tail.ts';
import { addToken } from './commands/token.ts';
import { addUsers } from './commands/users.ts';
import { addVerify } from './commands/verify.ts';
import { addDoctor } from './doctor/command.ts';
import { addDrill } from './drill/command.ts';
import { runCommandLine } from './frame/program.ts';

const COMMANDS = [
  addStart,
  addDoctor,
  addConfig,
  addToken,
  addUsers,
  addTail,
  addVerify,
  addReplay,
  addExport,
  addBackup,
  addRestore,
  addAcl,
  addDrill,
  addCompletion,
  addPrepareVolumes,
];

await runCommandLine(COMMANDS, process.argv.slice(2));
