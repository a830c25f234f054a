/**
 * A fresh server to measure: a process, a port and a store of its own.
 *
 * @module
 */

/** Where the service's files are. */
const ROOT = new URL("../", import.meta.url);
/** How long a start may take, in milliseconds. */
const START_TIMEOUT_MS = 60_000;
/** Wait between looks at `/ready`, in milliseconds. */
const LOOK_MS = 100;
/** How long it may take to stop before it is killed, in milliseconds. */
const STOP_TIMEOUT_MS = 8_000;
/**
 * All clients share one address here, which no budget is meant for; the
 * guards count on all the same.
 */
const PLENTY = {
  RATE_LIMIT_MAX: "1000000000",
  MAX_CONNECTIONS: "1000000",
  MAX_CONNECTIONS_PER_IP: "1000000",
};
/** As `deno task start` has it. */
const MALLOC = {
  MALLOC_TRIM_THRESHOLD_: "134217728",
  MALLOC_MMAP_THRESHOLD_: "33554432",
  MALLOC_TOP_PAD_: "16777216",
};
/** Processes report their CPU time in this many ticks a second. */
const TICKS_PER_SECOND = 100;
/** What `deno` itself needs of the environment, and nothing of the service's. */
export const PASSED_ON = [
  "PATH",
  "HOME",
  "TMPDIR",
  "DENO_DIR",
  "XDG_CACHE_HOME",
  "NPM_CONFIG_REGISTRY",
  "USERPROFILE",
  "LOCALAPPDATA",
  "SystemRoot",
  "TEMP",
] as const;

/** How a server is run. */
export interface ServerOptions {
  /** Signs the tokens of those who connect. */
  readonly secret: string;
  /** Whether anonymous clients are refused. */
  readonly requireAuth: boolean;
  /** Isolates that share the port. */
  readonly isolates: number;
  /** Settings besides those that every bench has. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** One server. */
export class BenchServer implements AsyncDisposable {
  /** Its WebSocket endpoint. */
  readonly url: string;
  /** The process that serves. */
  readonly pid: number;
  readonly #process: Deno.ChildProcess;
  readonly #directory: string;
  readonly #output: Promise<string>;
  #isOver = false;

  private constructor(
    process: Deno.ChildProcess,
    { url, directory }: { url: string; directory: string },
  ) {
    this.url = url;
    this.pid = process.pid;
    this.#process = process;
    this.#directory = directory;
    this.#output = new Response(process.stderr).text();
    process.status.then(() => this.#isOver = true);
  }

  /**
   * Starts one on an empty store and waits until it is ready.
   *
   * @throws {Error} with what it wrote, when it does not become ready.
   */
  static async start(options: ServerOptions): Promise<BenchServer> {
    const directory = await Deno.makeTempDir({ prefix: "kaldrix-bench-" });
    const port = freePort();
    const process = await spawn(port, directory, options);
    const url = `ws://127.0.0.1:${port}/ws`;
    const server = new BenchServer(process, { url, directory });
    try {
      await server.#ready(`http://127.0.0.1:${port}/ready`);
      return server;
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Stops it and removes its store. */
  async [Symbol.asyncDispose](): Promise<void> {
    const kill = (signal: Deno.Signal) => {
      if (!this.#isOver) this.#process.kill(signal);
    };
    kill("SIGTERM");
    const timer = setTimeout(() => kill("SIGKILL"), STOP_TIMEOUT_MS);
    await this.#process.status;
    await this.#output;
    clearTimeout(timer);
    await Deno.remove(this.#directory, { recursive: true });
  }

  async #ready(url: string): Promise<void> {
    const deadline = performance.now() + START_TIMEOUT_MS;
    while (!this.#isOver && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      try {
        const response = await fetch(url);
        await response.body?.cancel();
        if (response.ok) return;
      } catch {
        // It does not listen yet.
      }
    }
    if (!this.#isOver) this.#process.kill("SIGKILL");
    throw new Error(`The server did not start:\n${await this.#output}`);
  }
}

/** Starts it by the line that `deno task start` has. */
async function spawn(
  port: number,
  directory: string,
  { secret, requireAuth, isolates, settings }: ServerOptions,
): Promise<Deno.ChildProcess> {
  const env: Record<string, string> = {
    ...PLENTY,
    ...MALLOC,
    HOST: "127.0.0.1",
    PORT: String(port),
    JWT_SECRET: secret,
    REQUIRE_AUTH: String(requireAuth),
    KV_PATH: `${directory}/kv.sqlite`,
    LOG_LEVEL: "error",
    DENO_JOBS: String(isolates),
    ...settings,
  };
  for (const name of PASSED_ON) {
    const value = Deno.env.get(name);
    if (value !== undefined) env[name] = value;
  }
  const where = { cwd: ROOT, env, clearEnv: true, stdin: "null" } as const;
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-P=settings", "server/serve_args.ts"],
    ...where,
    stderr: "inherit",
  }).output();
  return new Deno.Command(Deno.execPath(), {
    args: new TextDecoder().decode(stdout).split(" "),
    ...where,
    stdout: "null",
    stderr: "piped",
  }).spawn();
}

/**
 * CPU time that a process has used, in seconds, where the system reports it.
 *
 * @see {@link https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html}
 */
export async function cpuSeconds(pid: number): Promise<number | undefined> {
  try {
    // Deno reads this only with all rights, another program with none.
    const { stdout } = await new Deno.Command("cat", {
      args: [`/proc/${pid}/stat`],
      stderr: "null",
    }).output();
    const stat = new TextDecoder().decode(stdout);
    // The name, in brackets, may hold anything.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const seconds = (Number(fields[11]) + Number(fields[12])) /
      TICKS_PER_SECOND;
    return Number.isNaN(seconds) ? undefined : seconds;
  } catch {
    return undefined;
  }
}

/** A port of this machine that is free. */
export function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  listener.close();
  return port;
}
