/**
 * A real EVM node for tests: the anvil that npm delivers, found in Deno's own
 * npm cache, so that nothing has to be installed.
 *
 * @module
 */
import { fileURLToPath } from "node:url";

const VERSION = "1.7.1";
/** How long anvil may take to listen, in milliseconds. */
const START_TIMEOUT_MS = 20_000;

/** Platforms for which npm has the program, in npm's words. */
const PLATFORMS: ReadonlySet<string> = new Set([
  "linux-amd64",
  "linux-arm64",
  "darwin-amd64",
  "darwin-arm64",
  "win32-amd64",
]);
const SYSTEMS: Readonly<Record<string, string>> = { windows: "win32" };
const PROCESSORS: Readonly<Record<string, string>> = {
  x86_64: "amd64",
  aarch64: "arm64",
};
const { os, arch } = Deno.build;
const PLATFORM = `${SYSTEMS[os] ?? os}-${PROCESSORS[arch] ?? arch}`;

/** Whether there is an anvil for this platform. */
export const HAS_ANVIL = PLATFORMS.has(PLATFORM);

/** Declares a test that needs anvil: skipped, and so reported, without one. */
export function anvilTest(
  name: string,
  test: (context: Deno.TestContext) => Promise<void>,
): void {
  const title = HAS_ANVIL ? name : `${name} (no anvil for ${PLATFORM})`;
  Deno.test({ name: title, ignore: !HAS_ANVIL, fn: test });
}

/**
 * Where anvil's program is; downloads it when it is not there yet.
 *
 * @throws when there is no anvil for this platform.
 */
export async function anvilPath(): Promise<string> {
  const name = `npm:@foundry-rs/anvil-${PLATFORM}@${VERSION}`;
  // Importing anything of a package has Deno fetch all of it.
  await import(`${name}/package.json`, { with: { type: "json" } });
  const program = os === "windows" ? "anvil.exe" : "anvil";
  const manifest = import.meta.resolve(`${name}/package.json`);
  return fileURLToPath(new URL(`bin/${program}`, manifest));
}

/** How to start a node. */
export interface AnvilOptions {
  /** Seconds between blocks; without it, only {@link Anvil.mine} makes them. */
  readonly blockTime?: number;
  /** Blocks of an epoch: this many are safe, twice as many make final. */
  readonly slotsInEpoch?: number;
  /** When its first block was made, in epoch seconds; now when absent. */
  readonly genesisSeconds?: number;
  /** File that holds the chain from one start to the next. */
  readonly state?: string;
}

/** A running node. */
export class Anvil implements AsyncDisposable {
  /** Where it listens. */
  readonly port: number;
  readonly #process: Deno.ChildProcess;
  readonly #output: Promise<void>;

  private constructor(
    process: Deno.ChildProcess,
    port: number,
    output: Promise<void>,
  ) {
    this.#process = process;
    this.port = port;
    this.#output = output;
  }

  /** Starts a node, and waits until it listens. */
  static async start(
    { blockTime, slotsInEpoch, genesisSeconds, state }: AnvilOptions = {},
  ): Promise<Anvil> {
    const process = new Deno.Command(await anvilPath(), {
      args: [
        ...["--host", "127.0.0.1", "--port", "0"],
        ...(blockTime === undefined
          ? ["--no-mining"]
          : ["--block-time", String(blockTime)]),
        ...(slotsInEpoch === undefined
          ? []
          : ["--slots-in-an-epoch", String(slotsInEpoch)]),
        ...(genesisSeconds === undefined
          ? []
          : ["--timestamp", String(genesisSeconds)]),
        ...(state === undefined ? [] : ["--state", state]),
      ],
      stdin: "null",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const listening = Promise.withResolvers<number>();
    const timer = setTimeout(
      () => listening.reject(new Error("anvil does not listen")),
      START_TIMEOUT_MS,
    );
    // Its output is read to the end, or it would block on a full pipe.
    const output = (async () => {
      let text = "";
      for await (
        const chunk of process.stdout.pipeThrough(new TextDecoderStream())
      ) {
        text = (text + chunk).slice(-8_192);
        const found = /Listening on 127\.0\.0\.1:(\d+)/.exec(text);
        if (found) listening.resolve(Number(found[1]));
      }
      // When it listened before, this changes nothing.
      listening.reject(new Error(`anvil ended: ${text.slice(-500)}`));
    })();
    try {
      return new Anvil(process, await listening.promise, output);
    } catch (error) {
      await new Anvil(process, 0, output).#end("SIGKILL");
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Its address for sources. */
  get url(): string {
    return `ws://127.0.0.1:${this.port}`;
  }

  /** Asks it something over HTTP. */
  // deno-lint-ignore no-explicit-any -- what a node answers has no static type.
  async ask(method: string, ...params: unknown[]): Promise<any> {
    const [answer] = await this.askAll([[method, ...params]]);
    return answer;
  }

  /** Asks it many things at once; the answers are in the same order. */
  async askAll(
    questions: readonly (readonly [method: string, ...params: unknown[]])[],
    // deno-lint-ignore no-explicit-any -- as above.
  ): Promise<any[]> {
    if (questions.length === 0) return [];
    const response = await fetch(`http://127.0.0.1:${this.port}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(
        questions.map(([method, ...params], id) => (
          { jsonrpc: "2.0", id, method, params }
        )),
      ),
    });
    const answers: {
      id: number;
      result: unknown;
      error?: { message: string };
    }[] = await response.json();
    return answers.toSorted((a, b) => a.id - b.id).map(
      ({ id, result, error }) => {
        if (error) throw new Error(`${questions[id]![0]}: ${error.message}`);
        return result;
      },
    );
  }

  /** Makes blocks at once. */
  async mine(blocks = 1): Promise<void> {
    for (let made = 0; made < blocks; made++) await this.ask("evm_mine");
  }

  /** The hashes of its chain, from the first after genesis to the head. */
  async hashes(): Promise<string[]> {
    const head = Number(await this.ask("eth_blockNumber"));
    const blocks = await this.askAll(
      Array.from({ length: head }, (_, at) => [
        "eth_getBlockByNumber",
        `0x${(at + 1).toString(16)}`,
        false,
      ]),
    );
    return blocks.map(({ hash }) => hash);
  }

  /** Ends it in good order, so that it keeps its state. */
  async stop(): Promise<void> {
    await this.#end("SIGTERM");
  }

  /** Ends it if it still runs. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end("SIGKILL");
  }

  async #end(signal: Deno.Signal): Promise<void> {
    try {
      this.#process.kill(signal);
    } catch {
      // It has ended already.
    }
    await this.#process.status;
    await this.#output;
  }
}

/**
 * One address for nodes that start and stop, which no other port can become:
 * passes bytes on to whichever node it is pointed at.
 */
export class Relay implements AsyncDisposable {
  /** Where connections are passed on to; they are dropped while absent. */
  target: { readonly port: number } | undefined;
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #connections = new Set<Promise<void>>();
  readonly #accepting = this.#accept();

  /** Its address for sources. */
  get url(): string {
    return `ws://127.0.0.1:${this.#listener.addr.port}`;
  }

  /** Listens no more, and waits for connections to end. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await this.#accepting;
    await Promise.all(this.#connections);
  }

  async #accept(): Promise<void> {
    try {
      for await (const connection of this.#listener) {
        const passing = this.#pass(connection);
        this.#connections.add(passing);
        passing.finally(() => this.#connections.delete(passing));
      }
    } catch {
      // Closed while accepting.
    }
  }

  async #pass(near: Deno.TcpConn): Promise<void> {
    try {
      if (!this.target) return near.close();
      const far = await Deno.connect({
        hostname: "127.0.0.1",
        port: this.target.port,
      });
      // Either end's end is the other's: pipes close what they wrote to.
      await Promise.allSettled([
        near.readable.pipeTo(far.writable),
        far.readable.pipeTo(near.writable),
      ]);
    } catch {
      near.close();
    }
  }
}
