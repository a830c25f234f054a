/**
 * Exits during startup, with a message for the person who starts the service.
 *
 * @module
 */
import { PlaceError } from "../store/store_file.ts";
import type { CommandLine } from "./command_line.ts";

/** Prints the help or version that the command line requests, and exits. */
export function answerAndExit({ answer }: CommandLine): void {
  if (!answer) return;
  // deno-lint-ignore no-console -- an answer to the person who typed it.
  (answer.isError ? console.error : console.log)(answer.text.trimEnd());
  Deno.exit(answer.isError ? 2 : 0);
}

/** Prints why the service cannot start, and exits. */
export function exitWith(reason: string): never {
  // deno-lint-ignore no-console -- for the person who starts it.
  console.error(`Cannot start: ${reason}`);
  Deno.exit(1);
}

/**
 * Exits unless the store can be opened. The message names only a file: the
 * address of a database may contain a password.
 *
 * @param opening the store at `KV_PATH`, or a check of its path.
 */
export async function storeOrExit<Opened>(
  opening: Promise<Opened>,
): Promise<Opened> {
  try {
    return await opening;
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    if (error instanceof PlaceError) exitWith(`KV_PATH ${text}`);
    exitWith(`KV_PATH leads to no store that opens: ${text}`);
  }
}

/**
 * Exits unless the address can be bound: otherwise the port would be silently
 * shared with another program.
 *
 * @returns the port, chosen by the system for port 0.
 */
export function exitIfTaken(
  { hostname, port }: { hostname: string; port: number },
): number {
  try {
    using listener = Deno.listen({ hostname, port });
    return (listener.addr as Deno.NetAddr).port;
  } catch (error) {
    const why = error instanceof Deno.errors.AddrInUse
      ? "it is in use by another program"
      : error instanceof Error
      ? error.message
      : String(error);
    exitWith(
      `cannot listen on HOST ${hostname}, PORT ${port}: ${why}. Set others, or end what listens there.`,
    );
  }
}
