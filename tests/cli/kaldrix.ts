/**
 * The terminal program as a process of its own.
 *
 * @module
 */
import { environment } from "../server.ts";

/** How it is run. */
export interface RunOptions {
  /** Variables besides this process's, without settings of the service. */
  readonly env?: Readonly<Record<string, string>>;
  /** What it reads. */
  readonly input?: string;
}

/** How it ended. */
export interface Ended {
  readonly code: number;
  /** What went to standard output. */
  readonly out: string;
  /** What went to standard error. */
  readonly err: string;
}

/** Starts `kaldrix` with `args`. */
export function spawn(
  args: readonly string[],
  { env = {}, input }: RunOptions = {},
): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-q", "-P=kaldrix", "cli/kaldrix.ts", ...args],
    env: { ...environment(), ...env },
    clearEnv: true,
    cwd: new URL("../../", import.meta.url),
    stdin: input === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** Runs `kaldrix` to its end. */
export async function kaldrix(
  args: readonly string[],
  options: RunOptions = {},
): Promise<Ended> {
  const process = spawn(args, options);
  if (options.input !== undefined) {
    const writer = process.stdin.getWriter();
    await writer.write(new TextEncoder().encode(options.input));
    await writer.close();
  }
  const { code, stdout, stderr } = await process.output();
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout), err: decoder.decode(stderr) };
}
