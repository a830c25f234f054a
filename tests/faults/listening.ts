/**
 * A port whose connections are served until all of them have ended.
 *
 * @module
 */

/** Accepts connections on a free port of this machine. */
export class Listening {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #serve: (client: Deno.TcpConn) => Promise<void>;
  readonly #work = new Set<Promise<void>>();

  /** Listens at once. @param serve serves one connection; must not reject. */
  constructor(serve: (client: Deno.TcpConn) => Promise<void>) {
    this.#serve = serve;
    this.#track(this.#accept());
  }

  /** Where it listens. */
  get port(): number {
    return this.#listener.addr.port;
  }

  /** Accepts no more connections. */
  close(): void {
    this.#listener.close();
  }

  /** Resolves once it is closed and all connections have ended. */
  async ended(): Promise<void> {
    while (this.#work.size > 0) await Promise.all(this.#work);
  }

  #track(work: Promise<void>): void {
    const tracked = work.finally(() => this.#work.delete(tracked));
    this.#work.add(tracked);
  }

  async #accept(): Promise<void> {
    try {
      for await (const client of this.#listener) {
        this.#track(this.#serve(client));
      }
    } catch {
      // Closed.
    }
  }
}
