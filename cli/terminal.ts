/**
 * What a command writes, and how it ends.
 *
 * @module
 */
import { styleText } from "node:util";
import { Command, CommanderError } from "commander";
import { UNSEEN } from "../platform/unseen.ts";

/** Exit code of a command that did what was asked. */
export const DONE = 0;
/** Exit code of a command that failed. */
export const FAILED = 1;
/** Exit code of a command that was called wrongly. */
export const MISUSED = 2;

/** Ends a command with {@link FAILED} and a sentence for its user. */
export class Failed extends Error {
  /** Distinguishes an expected failure from a bug. */
  override readonly name = "Failed";
}

/** Ends a command with {@link MISUSED} and a sentence for its user. */
export class Misused extends Error {
  /** Distinguishes a wrong call from a bug. */
  override readonly name = "Misused";
}

type Style = Parameters<typeof styleText>[0];

const encoder = new TextEncoder();

/** Writes a line of the result to standard output. */
export function print(line: string): void {
  try {
    write(Deno.stdout, `${line}\n`);
  } catch (error) {
    // The reader has enough, as `head` does.
    if (error instanceof Deno.errors.BrokenPipe) Deno.exit(DONE);
    throw error;
  }
}

/** Writes a line about the work to standard error. */
export function note(line: string): void {
  write(Deno.stderr, `${line}\n`);
}

/** Writes a line as {@link note} does, where a person reads it. */
export function hint(line: string): void {
  if (Deno.stderr.isTerminal()) note(line);
}

/**
 * Shows how far the work is, on one line that each call replaces. Writes
 * nothing where standard error is no terminal.
 *
 * @param text the state; an empty text removes the line.
 */
export function progress(text: string): void {
  if (Deno.stderr.isTerminal()) write(Deno.stderr, `\r\x1b[K${text}`);
}

/** Colours a text where standard output is a terminal and NO_COLOR is unset. */
export function paint(style: Style, text: string): string {
  return Deno.stdout.isTerminal() && !Deno.noColor
    ? styleText(style, text, { validateStream: false })
    : text;
}

/**
 * Columns of the terminal.
 *
 * @returns `Infinity` where standard output is none: lines are not cut then.
 */
export function width(): number {
  return Deno.stdout.isTerminal() ? Deno.consoleSize().columns : Infinity;
}

/**
 * Escapes what could give orders to a terminal or disguise a line; inside
 * JSON text the result is the same JSON value.
 */
export function printable(text: string): string {
  return text.replace(
    UNSEEN,
    (it) => `\\u${it.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/**
 * Runs a program on the process's arguments and ends the process: with
 * {@link DONE}, with {@link FAILED} and a sentence, or with `misused` and what
 * is wrong about the call.
 *
 * @param program knows the commands; each has to have its parent's settings.
 * @param misused exit code of a wrong call.
 * @throws bugs, with their stack.
 */
export async function run(
  program: Command,
  misused: number = MISUSED,
): Promise<never> {
  try {
    await program.parseAsync(Deno.args, { from: "user" });
  } catch (error) {
    const code = codeOf(error);
    Deno.exit(code === MISUSED ? misused : code);
  }
  Deno.exit(DONE);
}

/** A program without commands yet, that leaves ending to {@link run}. */
export function programOf(name: string): Command {
  return new Command(name).exitOverride().configureOutput({
    // Asking about colours would take rights that some commands do not have.
    getOutHasColors: () => false,
    getErrHasColors: () => false,
  }).showHelpAfterError("--help lists what there is.");
}

/** Prints why a command ended. */
function codeOf(error: unknown): number {
  // Printed already, with the help or the version.
  if (error instanceof CommanderError) return error.exitCode && MISUSED;
  progress("");
  if (error instanceof Misused) {
    note(`error: ${printable(error.message)}`);
    return MISUSED;
  }
  if (!(error instanceof Failed || error instanceof RangeError)) throw error;
  note(`error: ${printable(error.message)}`);
  return FAILED;
}

function write(stream: typeof Deno.stdout, text: string): void {
  const bytes = encoder.encode(text);
  for (let at = 0; at < bytes.length;) {
    at += stream.writeSync(bytes.subarray(at));
  }
}
