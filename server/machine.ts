/**
 * The resources of the machine: cores, and file descriptors, of which every
 * connection takes one.
 *
 * @module
 */

/** Descriptors that a process needs besides its connections. */
const OWN_FILES = 64;
/** Share of the others for clients; the rest is for unfinished requests. */
const CLIENTS_SHARE = 0.8;

/** Number of instances in the process: `DENO_JOBS`, or one per core. */
export function instanceCount(): number {
  const jobs = Number(Deno.env.get("DENO_JOBS"));
  return Number.isInteger(jobs) && jobs > 0
    ? jobs
    : navigator.hardwareConcurrency;
}

/**
 * Most clients of one instance that the process has descriptors for.
 *
 * @param files the limit of the process.
 * @param instances number of instances that share it.
 * @returns at least 1.
 */
export function connectionsFor(files: number, instances: number): number {
  const share = Math.max(0, files - OWN_FILES) * CLIENTS_SHARE / instances;
  return Math.max(1, Math.floor(share));
}

/**
 * The limit of descriptors of a process started from here, by the shell.
 * Deno raises its own limit to the hard limit, which its children inherit.
 *
 * @returns nothing without such a shell or a limit.
 */
export async function fileLimit(): Promise<number | undefined> {
  try {
    const { success, stdout } = await new Deno.Command("sh", {
      args: ["-c", "ulimit -n"],
      stdin: "null",
      stdout: "piped",
      stderr: "null",
    }).output();
    const limit = Number(new TextDecoder().decode(stdout));
    return success && Number.isSafeInteger(limit) && limit > 0
      ? limit
      : undefined;
  } catch {
    return undefined;
  }
}
