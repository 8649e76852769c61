/** `hr-gateway completion`: prints a script by which a shell completes commands and options; made from the commands themselves. */
import { Argument, type Command } from 'commander';
import type { AddCommand } from '../frame/program.ts';

/** The words that may follow a command: its sub-commands and options. */
interface Words {
  /** `users add`, or empty for the program itself. */
  path: string;
  words: string[];
}

function* wordsOf(command: Command, names: readonly string[] = []): Generator<Words> {
  const visible = command.createHelp();
  const subCommands = visible.visibleCommands(command);
  const options = [...visible.visibleOptions(command), ...visible.visibleGlobalOptions(command)];
  const words = [
    ...subCommands.map((each) => each.name()),
    ...options.map(({ long }) => long ?? '').filter((long) => long !== ''),
  ];
  yield { path: names.join(' '), words: [...new Set(words)] };
  for (const each of subCommands) if (each.name() !== 'help') yield* wordsOf(each, [...names, each.name()]);
}

/** Bash and, through bashcompinit, zsh: the words before the cursor that name commands choose the list; else file names. */
function bashScript(all: readonly Words[]): string {
  const cases = all.map(({ path, words }) => `    '${path}') words='${words.join(' ')}' ;;`);
  const paths = all.map(({ path }) => path).filter((path) => path !== '');
  return `_hr_gateway() {
  local path='' word words i
  for ((i = 1; i < COMP_CWORD; i += 1)); do
    word=\${COMP_WORDS[i]}
    case " ${paths.map((path) => path.replaceAll(' ', '/')).join(' ')} " in
      *" \${path:+\${path// //}/}$word "*) path="\${path:+$path }$word" ;;
    esac
  done
  case $path in
${cases.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _hr_gateway hr-gateway`;
}

function fishScript(all: readonly Words[]): string {
  const lines = all.flatMap(({ path, words }) => {
    const names = path === '' ? [] : path.split(' ');
    const seen = names.map((name) => `__fish_seen_subcommand_from ${name}`).join('; and ');
    const condition = names.length === 0 ? '__fish_use_subcommand' : seen;
    return words.map((word) =>
      word.startsWith('--')
        ? `complete -c hr-gateway -n '${condition}' -l ${word.slice(2)}`
        : `complete -c hr-gateway -f -n '${condition}' -a ${word}`,
    );
  });
  return lines.join('\n');
}

const NOTES = `
  bash  source <(hr-gateway completion bash)          # in ~/.bashrc
  zsh   source <(hr-gateway completion zsh)           # in ~/.zshrc
  fish  hr-gateway completion fish | source           # in ~/.config/fish/config.fish`;

export const addCompletion: AddCommand = (program) => {
  program
    .command('completion')
    .summary('print a script that completes commands in a shell')
    .description('Prints a script by which bash, zsh or fish completes the commands and options of hr-gateway.')
    .addArgument(new Argument('<shell>', 'the shell').choices(['bash', 'zsh', 'fish']))
    .addHelpText('after', NOTES)
    .action((shell: string) => {
      const all = [...wordsOf(program)];
      if (shell === 'fish') console.log(fishScript(all));
      else console.log(`${shell === 'zsh' ? 'autoload -U +X bashcompinit && bashcompinit\n' : ''}${bashScript(all)}`);
    });
};
