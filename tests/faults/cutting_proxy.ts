/**
 * A network that fails: connections through it end without a word.
 *
 * @module
 */
import { Listening } from "./listening.ts";

/** When connections are cut. */
export interface CuttingOptions {
  /** Port forwarded to. */
  readonly to: number;
  /** Uniform in [0, 1); a seeded one makes a failure come back. */
  readonly random: () => number;
  /** Shortest life of a connection, in milliseconds. */
  readonly leastMs: number;
  /** Longest life of a connection, in milliseconds. */
  readonly mostMs: number;
}

/** Forwards TCP, and cuts each connection at a random moment until mended. */
export class CuttingProxy implements AsyncDisposable {
  readonly #listening = new Listening((client) => this.#forward(client));
  readonly #options: CuttingOptions;
  readonly #ends = new Set<() => void>();
  #isCutting = true;
  #cuts = 0;

  /** Listens at once. */
  constructor(options: CuttingOptions) {
    this.#options = options;
  }

  /** Where it listens. */
  get port(): number {
    return this.#listening.port;
  }

  /** How many connections it has cut. */
  get cuts(): number {
    return this.#cuts;
  }

  /** Cuts no more: connections last from now on. */
  mend(): void {
    this.#isCutting = false;
  }

  /** Ends everything. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#listening.close();
    for (const end of this.#ends) end();
    await this.#listening.ended();
  }

  async #forward(client: Deno.TcpConn): Promise<void> {
    const { to, random, leastMs, mostMs } = this.#options;
    const life = leastMs + random() * (mostMs - leastMs);
    let server: Deno.TcpConn;
    try {
      server = await Deno.connect({ hostname: "127.0.0.1", port: to });
    } catch {
      client.close();
      return;
    }
    const end = () => {
      this.#ends.delete(end);
      for (const connection of [client, server]) {
        try {
          connection.close();
        } catch {
          // Closed already.
        }
      }
    };
    this.#ends.add(end);
    const timer = setTimeout(() => {
      if (!this.#isCutting) return;
      this.#cuts++;
      end();
    }, life);
    await Promise.all([pump(client, server), pump(server, client)]
      .map((work) => work.finally(end)));
    clearTimeout(timer);
  }
}

async function pump(from: Deno.TcpConn, to: Deno.TcpConn): Promise<void> {
  const buffer = new Uint8Array(65_536);
  try {
    for (;;) {
      const length = await from.read(buffer);
      if (length === null) return;
      let sent = 0;
      while (sent < length) {
        sent += await to.write(buffer.subarray(sent, length));
      }
    }
  } catch {
    // One of the two has ended.
  }
}
