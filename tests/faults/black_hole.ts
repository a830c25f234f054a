/**
 * A network that falls silent: bytes do not arrive, and no end is notified.
 *
 * @module
 */
import { Listening } from "./listening.ts";

/** One connection through it. */
interface Line {
  /** What must be fulfilled before bytes pass. */
  open: Promise<void>;
  end(): void;
}

/** Forwards TCP until it is cut: then it holds everything back. */
export class BlackHole implements AsyncDisposable {
  readonly #listening = new Listening((client) => this.#forward(client));
  readonly #to: number;
  readonly #lines = new Set<Line>();
  #open = Promise.resolve();
  #reopen = () => {};

  /** Listens at once. @param to port forwarded to. */
  constructor(to: number) {
    this.#to = to;
  }

  /** Where it listens. */
  get port(): number {
    return this.#listening.port;
  }

  /** From now on bytes wait, those of new connections too. */
  cut(): void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#open = promise;
    this.#reopen = resolve;
    for (const line of this.#lines) line.open = promise;
  }

  /** What waited arrives. */
  mend(): void {
    this.#reopen();
  }

  /** New connections pass; existing ones stay silent permanently. */
  forget(): void {
    this.#open = Promise.resolve();
  }

  /** Ends everything. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#listening.close();
    for (const line of this.#lines) line.end();
    this.#reopen();
    await this.#listening.ended();
  }

  async #forward(client: Deno.TcpConn): Promise<void> {
    const connections = [client];
    const line: Line = {
      open: this.#open,
      end: () => {
        this.#lines.delete(line);
        for (const connection of connections.splice(0)) connection.close();
      },
    };
    this.#lines.add(line);
    try {
      await line.open;
      const server = await Deno.connect({
        hostname: "127.0.0.1",
        port: this.#to,
      });
      // It may have ended while it waited.
      if (!this.#lines.has(line)) return server.close();
      connections.push(server);
      await Promise.race([
        pump(line, client, server),
        pump(line, server, client),
      ]);
    } catch {
      // No process listens, or one of the two has ended.
    } finally {
      line.end();
    }
  }
}

async function pump(
  line: Line,
  from: Deno.TcpConn,
  to: Deno.TcpConn,
): Promise<void> {
  const buffer = new Uint8Array(65_536);
  for (;;) {
    const length = await from.read(buffer);
    // It may have been cut while nothing came.
    await line.open;
    if (length === null) return;
    for (let sent = 0; sent < length;) {
      sent += await to.write(buffer.subarray(sent, length));
    }
  }
}
