/**
 * A program of this repository as a process that is killed and started again.
 *
 * @module
 */

/** Where the programs are. */
const ROOT = new URL("../../", import.meta.url);

/**
 * Processor time of a process so far, in milliseconds, as Linux counts it.
 *
 * @param pid a process of ours.
 */
export async function cpuMsOf(pid: number): Promise<number> {
  const { stdout } = await new Deno.Command("cat", {
    args: [`/proc/${pid}/stat`],
  }).output();
  const [, ...fields] = new TextDecoder().decode(stdout).split(") ");
  const [user, system] = fields.join(") ").split(" ").slice(11, 13);
  // In hundredths of a second.
  return (Number(user) + Number(system)) * 10;
}

/** How to start it. */
export interface ProgramOptions {
  /** Path from the root, then its arguments. */
  readonly args: readonly string[];
  /** Rights, as flags of `deno run`. */
  readonly rights: readonly string[];
  /** Environment variables besides this process's own. */
  readonly env?: Readonly<Record<string, string>>;
}

/** One program, over all its lives. */
export class Program implements AsyncDisposable {
  readonly #options: ProgramOptions;
  #running:
    | { process: Deno.ChildProcess; output: Promise<unknown> }
    | undefined;
  #out = "";
  #err = "";

  /** Does not run before {@link start}. */
  constructor(options: ProgramOptions) {
    this.#options = options;
  }

  /** Lines that it wrote to standard output, over all its lives. */
  get lines(): string[] {
    return this.#out.split("\n").slice(0, -1);
  }

  /** The end of what it wrote to standard error, for messages of tests. */
  get errors(): string {
    return this.#err.slice(-2_000);
  }

  /** Whether it was started, and not killed since. */
  get isRunning(): boolean {
    return this.#running !== undefined;
  }

  /** Processor time of this life, in milliseconds, as Linux counts it. */
  async cpuMs(): Promise<number> {
    return await cpuMsOf(this.#running!.process.pid);
  }

  /** Begins a life; does nothing while it runs. */
  start(): void {
    if (this.#running) return;
    const { args, rights, env = {} } = this.#options;
    const process = new Deno.Command(Deno.execPath(), {
      args: ["run", "-q", "--no-check", "--no-prompt", ...rights, ...args],
      env,
      cwd: ROOT,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const read = async (
      stream: ReadableStream<Uint8Array<ArrayBuffer>>,
      keep: (text: string) => void,
    ) => {
      for await (const text of stream.pipeThrough(new TextDecoderStream())) {
        keep(text);
      }
    };
    const output = Promise.all([
      read(process.stdout, (text) => this.#out += text),
      read(process.stderr, (text) => this.#err += text),
    ]);
    this.#running = { process, output };
  }

  /**
   * Kills it; it cannot notice.
   *
   * @returns its exit code when it had ended by itself before.
   */
  async kill(): Promise<number | undefined> {
    if (!this.#running) return undefined;
    const { process, output } = this.#running;
    this.#running = undefined;
    try {
      process.kill("SIGKILL");
    } catch {
      // It has ended already.
    }
    const { code, signal } = await process.status;
    await output;
    // A line that was cut off is none.
    this.#out = this.#out.slice(0, this.#out.lastIndexOf("\n") + 1);
    return signal === null ? code : undefined;
  }

  /** Ends it if it still runs. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}
