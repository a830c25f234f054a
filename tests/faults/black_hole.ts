/**
 * A network that falls silent: bytes do not arrive, and nobody is told.
 *
 * @module
 */

/** One connection through it. */
interface Line {
  /** What must be fulfilled before bytes pass. */
  open: Promise<void>;
  end(): void;
}

/** Forwards TCP until it is told to hold everything back. */
export class BlackHole implements AsyncDisposable {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #to: number;
  readonly #work = new Set<Promise<void>>();
  readonly #lines = new Set<Line>();
  #open = Promise.resolve();
  #reopen = () => {};

  /** Listens at once. @param to port forwarded to. */
  constructor(to: number) {
    this.#to = to;
    this.#track(this.#accept());
  }

  /** Where it listens. */
  get port(): number {
    return this.#listener.addr.port;
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

  /** New connections pass; those that there are stay silent for good. */
  forget(): void {
    this.#open = Promise.resolve();
  }

  /** Ends everything. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const line of this.#lines) line.end();
    this.#reopen();
    while (this.#work.size > 0) await Promise.all(this.#work);
  }

  #track(work: Promise<void>): void {
    const tracked = work.finally(() => this.#work.delete(tracked));
    this.#work.add(tracked);
  }

  async #accept(): Promise<void> {
    try {
      for await (const client of this.#listener) {
        this.#track(this.#forward(client));
      }
    } catch {
      // Closed.
    }
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
      // Nobody listens, or one of the two has ended.
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
