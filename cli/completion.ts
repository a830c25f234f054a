/**
 * Writes completion scripts for the program's commands and options.
 *
 * @module
 */
import type { Command } from "commander";
import { Misused, print } from "./terminal.ts";

/** Adds `completion`; call it last, because it reads the other commands. */
export function completionCommand(program: Command): void {
  program.command("completion")
    .description("write completion for a shell: bash or zsh")
    .argument("<shell>", "bash or zsh")
    .action((shell: string) => {
      if (shell !== "bash" && shell !== "zsh") {
        throw new Misused("completion is for bash or zsh");
      }
      print(shell === "bash" ? bash(program) : zsh(program));
    })
    .addHelpText(
      "after",
      `
Examples:
  source <(kaldrix completion bash)
  kaldrix completion zsh > ~/.zfunc/_kaldrix`,
    );
}

/** Words that may follow each command, by its path: `token make`. */
function wordsOf(command: Command, path = ""): (readonly [string, string])[] {
  const options = [
    ...command.options.map(({ long, short }) => long ?? short!),
    "--help",
  ];
  const names = command.commands.map((it) => it.name());
  return [
    [path, [...names, ...options].join(" ")],
    ...command.commands.flatMap((it) =>
      wordsOf(it, `${path} ${it.name()}`.trim())
    ),
  ];
}

/** The cases of both shells: commands so far, then the words that may follow. */
function cases(program: Command, then: (words: string) => string): string {
  return wordsOf(program).map(([path, words]) =>
    `    "${path}") ${then(words)} ;;`
  ).join("\n");
}

/** Names of commands that have commands; only these continue a path. */
function groups(program: Command): string {
  return wordsOf(program).map(([path]) => `"${path}"`).slice(1).join("|");
}

function bash(program: Command): string {
  return `_kaldrix() {
  local path="" word words="" i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    case "\${path:+$path }$word" in
    ${groups(program)}) path="\${path:+$path }$word" ;;
    esac
  done
  case "$path" in
${cases(program, (words) => `words="${words}"`)}
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _kaldrix kaldrix`;
}

function zsh(program: Command): string {
  return `#compdef kaldrix
_kaldrix() {
  local way="" word i
  for ((i = 2; i < CURRENT; i++)); do
    word="\${words[i]}"
    case "\${way:+$way }$word" in
    ${groups(program)}) way="\${way:+$way }$word" ;;
    esac
  done
  case "$way" in
${cases(program, (words) => `compadd -- ${words}`)}
  esac
}
if [ "$funcstack[1]" = "_kaldrix" ]; then _kaldrix; else compdef _kaldrix kaldrix; fi`;
}
