/**
 * The real service as a process of its own, for tests that want to see it
 * start, stop, fail and come back.
 *
 * @module
 */
import type { Role } from "../protocol/channels.ts";
import type { AnyMessage } from "../protocol/messages.ts";
import type { Accepted } from "../protocol/replies.ts";
import { generateWebSocketToken } from "../security/tokens.ts";
import { FILE_SETTING_NAMES, SETTING_NAMES } from "../server/settings.ts";
import { until } from "./until.ts";

/** Where the service's files are. */
const ROOT = new URL("../", import.meta.url);
/** How long a start may take, in milliseconds, on a busy machine. */
const START_TIMEOUT_MS = 60_000;
/** Wait between looks at `/ready`, in milliseconds. */
const LOOK_MS = 50;
/** How long one such look may take, in milliseconds. */
const LOOK_TIMEOUT_MS = 5_000;
/**
 * Ports tried: below those that the system gives to outgoing connections, so
 * that a client of a stopped server never connects to itself.
 */
const FIRST_PORT = 20_000;
const PORTS = 10_000;

/** The secret with which every test server verifies tokens. */
export const SECRET = "a secret for tests that is long enough to be one";

/** What can serve. */
export type Program = "start.ts" | "deno serve";

/** How a server is run. */
export interface ServerOptions {
  /** Instances that share the port; one when absent. */
  readonly instances?: number;
  /** Limit of file descriptors of its process; this process's when absent. */
  readonly maxFiles?: number;
  /** What serves: `start.ts`, as `deno task start` has it, when absent. */
  readonly program?: Program;
  /** Settings besides `PORT`, `HOST`, `KV_PATH` and `JWT_SECRET`. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** How a server ended. */
export interface Ending {
  /** Exit code. */
  readonly code: number;
  /** The signal that ended it, when one did. */
  readonly signal: Deno.Signal | null;
  /** From the signal sent to the end, in milliseconds. */
  readonly ms: number;
}

/** A process and its output. */
interface Running {
  readonly process: Deno.ChildProcess;
  readonly output: Promise<unknown>;
}

/**
 * A server with a store and a port of its own, which outlive its processes.
 */
export class TestServer implements AsyncDisposable {
  /** Where it listens. */
  readonly port: number;
  readonly #directory: string;
  readonly #options: ServerOptions;
  #running: Running | undefined;
  #log = "";

  private constructor(port: number, directory: string, options: ServerOptions) {
    this.port = port;
    this.#directory = directory;
    this.#options = options;
  }

  /** Starts one on an empty store, and waits until it is ready. */
  static async start(options: ServerOptions = {}): Promise<TestServer> {
    const directory = await Deno.makeTempDir({ prefix: "kaldrix-" });
    const server = new TestServer(freePort(), directory, options);
    try {
      await server.begin();
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
    return server;
  }

  /** The file that holds the store. */
  get kvPath(): string {
    return `${this.#directory}/kv.sqlite`;
  }

  /** Base of its pages, without a slash at the end. */
  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Its WebSocket endpoint. */
  get socketUrl(): string {
    return `ws://127.0.0.1:${this.port}/ws`;
  }

  /** Everything it has written, over all its lives. */
  get log(): string {
    return this.#log;
  }

  /** Its process. */
  get pid(): number {
    return this.#running!.process.pid;
  }

  /** Resident memory of the process, in bytes, as Linux counts it. */
  async memory(): Promise<number> {
    const { pid } = this.#running!.process;
    // Deno itself may read there only with all rights.
    const { stdout } = await new Deno.Command("cat", {
      args: [`/proc/${pid}/status`],
    }).output();
    const [, kib] = /^VmRSS:\s+(\d+) kB$/m
      .exec(new TextDecoder().decode(stdout)) ?? [];
    return Number(kib) * 1_024;
  }

  /** Starts a process on the same store and port; resolves when it is ready. */
  async begin(): Promise<void> {
    const env = this.#env();
    const { program, maxFiles } = this.#options;
    const args = await serveArgs(env, program, maxFiles);
    const since = Date.now();
    this.#running = this.#spawn(args, env);
    await this.#ready(since);
  }

  /** Sends a signal and does not wait. */
  signal(signal: Deno.Signal): void {
    this.#running?.process.kill(signal);
  }

  /** Resolves when the process has ended. */
  async ended(): Promise<Ending> {
    const since = performance.now();
    const { process, output } = this.#running!;
    const { code, signal } = await process.status;
    const ms = performance.now() - since;
    await output;
    this.#running = undefined;
    return { code, signal, ms };
  }

  /** Sends a signal and waits for the end. */
  stop(signal: Deno.Signal): Promise<Ending> {
    this.signal(signal);
    return this.ended();
  }

  /** A token that it accepts. */
  token(
    role: Role,
    {
      user = `a-${role}`,
      expiresIn = "1h" as string | number,
      now = Date.now,
    } = {},
  ): Promise<string> {
    return generateWebSocketToken({ userId: user, role }, SECRET, expiresIn, {
      now,
    });
  }

  /** Publishes over HTTP; the answer as it came, its body not yet read. */
  async post(body: unknown, token?: string): Promise<Response> {
    return await fetch(`${this.url}/api/publish`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      body: typeof body === "string" ? body : JSON.stringify(body),
    });
  }

  /**
   * Publishes over HTTP, as a publisher.
   *
   * @throws when that is refused.
   */
  async publish(messages: readonly AnyMessage[]): Promise<Accepted[]> {
    const response = await this.post(
      { messages },
      await this.token("publisher"),
    );
    const body = await response.json();
    if (!response.ok) throw new Error(`Refused: ${JSON.stringify(body)}`);
    return body.accepted;
  }

  /** Reads JSON from it. */
  async json(
    path: string,
    init: RequestInit & { client?: Deno.HttpClient } = {},
    // deno-lint-ignore no-explicit-any -- tests look into answers freely.
  ): Promise<any> {
    const response = await fetch(this.url + path, init);
    return await response.json();
  }

  /** Ends the process, if it still runs, and removes the store. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#running) await this.stop("SIGKILL");
    await Deno.remove(this.#directory, { recursive: true });
  }

  #env(): Record<string, string> {
    return {
      ...environment(),
      PORT: String(this.port),
      HOST: "127.0.0.1",
      KV_PATH: this.kvPath,
      JWT_SECRET: SECRET,
      RATE_LIMIT_MAX: "1000000000",
      MAX_CONNECTIONS_PER_IP: "100000",
      DENO_JOBS: String(this.#options.instances ?? 1),
      ...this.#options.settings,
    };
  }

  #spawn(args: string[], env: Record<string, string>): Running {
    const { maxFiles } = this.#options;
    const process = new Deno.Command(maxFiles ? "sh" : Deno.execPath(), {
      args: maxFiles
        ? [
          "-c",
          `ulimit -n ${maxFiles}; exec "$0" "$@"`,
          Deno.execPath(),
          ...args,
        ]
        : args,
      env,
      clearEnv: true,
      cwd: ROOT,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const keep = async (stream: ReadableStream<Uint8Array<ArrayBuffer>>) => {
      for await (const text of stream.pipeThrough(new TextDecoderStream())) {
        this.#log += text;
      }
    };
    const output = Promise.all([keep(process.stdout), keep(process.stderr)]);
    return { process, output };
  }

  async #ready(since: number): Promise<void> {
    const { process } = this.#running!;
    const { instances = 1 } = this.#options;
    const answered = new Set<string>();
    let over = false;
    process.status.then(() => over = true);
    const deadline = performance.now() + START_TIMEOUT_MS;
    while (!over && performance.now() < deadline) {
      const instance = await this.#answering(since);
      if (instance !== undefined) answered.add(instance);
      if (answered.size === instances) return;
      await pause(instance === undefined ? LOOK_MS : 0);
    }
    throw new Error(`The server did not become ready:\n${this.#log}`);
  }

  /**
   * The instance that chance chose to answer, if it began by now. Instances
   * listen one after another: only an answer shows that one does.
   */
  async #answering(since: number): Promise<string | undefined> {
    using client = Deno.createHttpClient({ poolMaxIdlePerHost: 0 });
    const init = { client, signal: AbortSignal.timeout(LOOK_TIMEOUT_MS) };
    try {
      const { ready } = await this.json("/ready", init);
      const { instances } = await this.json("/api/channels", {
        ...init,
        // Where none is required, one might name the wrong audience.
        headers: this.#options.settings?.["REQUIRE_AUTH"] === "true"
          ? { authorization: `Bearer ${await this.token("admin")}` }
          : {},
      });
      // It prints its own lines first.
      const [{ id, startedAt }] = instances;
      return ready && startedAt >= since ? id : undefined;
    } catch {
      return undefined;
    }
  }
}

/** How a program ran that was not expected to go on. */
export interface Run {
  /** Exit code. */
  readonly code: number;
  /** All it wrote. */
  readonly text: string;
}

/** Starts the service with settings that should stop it, and waits for that. */
export async function failingStart(
  settings: Readonly<Record<string, string>>,
): Promise<Run> {
  const env = { ...environment(), HOST: "127.0.0.1", ...settings };
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: await serveArgs(env),
    env,
    clearEnv: true,
    cwd: ROOT,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    signal: AbortSignal.timeout(START_TIMEOUT_MS),
  }).output();
  const decoder = new TextDecoder();
  return { code, text: decoder.decode(stdout) + decoder.decode(stderr) };
}

/** Resolves after `ms` milliseconds. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** This process's environment without anything the service would read. */
export function environment(): Record<string, string> {
  const env = Deno.env.toObject();
  for (const name of [...SETTING_NAMES, ...FILE_SETTING_NAMES]) {
    delete env[name];
  }
  delete env["DENO_COVERAGE_DIR"];
  return env;
}

async function serveArgs(
  env: Record<string, string>,
  program: Program = "start.ts",
  maxFiles?: number,
): Promise<string[]> {
  const limit = maxFiles ? `ulimit -n ${maxFiles};` : "";
  const { success, stdout, stderr } = await new Deno.Command("sh", {
    args: [
      "-c",
      `${limit} exec "$0" run -q -P=settings server/serve_args.ts`,
      Deno.execPath(),
    ],
    env,
    clearEnv: true,
    cwd: ROOT,
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  const args = new TextDecoder().decode(stdout).split(" ");
  if (program === "start.ts") return args;
  const rights = args.filter((arg) => /^-(P|-allow)/.test(arg));
  const address = ["--host", env["HOST"]!, "--port", env["PORT"]!];
  return ["serve", "--parallel", ...rights, ...address, "main.ts"];
}

function freePort(): number {
  for (;;) {
    const port = FIRST_PORT + Math.floor(Math.random() * PORTS);
    try {
      Deno.listen({ hostname: "127.0.0.1", port }).close();
      return port;
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
}

/** Waits until `/ready` of each service reports `detail` of its database. */
export async function databaseSays(
  services: readonly TestServer[],
  detail: RegExp,
): Promise<void> {
  for (const service of services) {
    await until(async () => {
      const { checks } = await service.json("/ready");
      return detail.test(checks.database?.detail ?? "");
    }, `/ready says ${detail}`);
  }
}
