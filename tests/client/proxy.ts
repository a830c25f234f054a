/**
 * Proxies that real sockets meet, each of them before a real server.
 */

/** How a proxy treats what passes. */
export interface ProxyOptions {
  /** Answers an upgrade as if it were a plain request. */
  readonly stripsUpgrade?: boolean;
  /** Accepts upgrades, and passes nothing on. */
  readonly swallowsFrames?: boolean;
  /** Holds the body of each response back until its end. */
  readonly buffers?: boolean;
  /** Cuts every connection after this time, in milliseconds. */
  readonly cutAfterMs?: number;
}

/** A proxy on a port of its own. */
export class Proxy implements AsyncDisposable {
  /** What it does; may be changed while it runs. */
  options: ProxyOptions;
  /** Upgrades and requests that arrived. */
  readonly seen: string[] = [];
  readonly #target: string;
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #open = new Set<() => void>();

  /** Listens before the server at `target`, `http://host:port`. */
  constructor(target: string, options: ProxyOptions) {
    this.#target = target;
    this.options = options;
    this.#server = Deno.serve(
      {
        port: 0,
        hostname: "127.0.0.1",
        onListen() {},
        onError: () => new Response(null, { status: 502 }),
      },
      (request) => this.#handle(request),
    );
  }

  /** `127.0.0.1:port`. */
  get host(): string {
    return `127.0.0.1:${this.#server.addr.port}`;
  }

  /** Cuts all that is open. */
  cut(): void {
    for (const end of [...this.#open]) end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    await this.#server.shutdown();
  }

  #handle(request: Request): Response | Promise<Response> {
    const { pathname, search } = new URL(request.url);
    const isUpgrade = request.headers.get("upgrade") === "websocket";
    this.seen.push(`${isUpgrade ? "UPGRADE" : request.method} ${pathname}`);
    if (isUpgrade && !this.options.stripsUpgrade) {
      return this.#socket(request, pathname + search);
    }
    return this.#forward(request, pathname + search);
  }

  #socket(request: Request, path: string): Response {
    const { socket, response } = Deno.upgradeWebSocket(request);
    if (this.options.swallowsFrames) {
      this.#keep(() => socket.close(), socket);
      return response;
    }
    const inner = new WebSocket(this.#target.replace("http", "ws") + path);
    const waiting: string[] = [];
    inner.onopen = () => waiting.splice(0).forEach((text) => inner.send(text));
    inner.onmessage = ({ data }) => {
      if (
        socket.readyState === WebSocket.OPEN && !this.options.swallowsFrames
      ) {
        socket.send(data);
      }
    };
    socket.onmessage = ({ data }) => {
      if (inner.readyState === WebSocket.OPEN) inner.send(data);
      else waiting.push(data);
    };
    inner.onclose = ({ code, reason }) => {
      if (socket.readyState === WebSocket.OPEN) {
        socket.close(code === 1005 || code === 1006 ? 1011 : code, reason);
      }
    };
    this.#keep(() => {
      inner.close();
      socket.close();
    }, socket);
    return response;
  }

  #keep(end: () => void, socket: WebSocket): void {
    const { cutAfterMs } = this.options;
    const timer = cutAfterMs === undefined
      ? undefined
      : setTimeout(end, cutAfterMs);
    this.#open.add(end);
    socket.onclose = () => {
      clearTimeout(timer);
      this.#open.delete(end);
      end();
    };
    socket.onerror = () => {};
  }

  async #forward(request: Request, path: string): Promise<Response> {
    const headers = new Headers(request.headers);
    for (const name of ["connection", "upgrade", "host"]) headers.delete(name);
    const controller = new AbortController();
    let passing: TransformStreamDefaultController | undefined;
    const end = () => {
      done();
      controller.abort();
      // What was fetched may not notice: the other side does.
      passing?.error(new Error("Cut"));
    };
    this.#open.add(end);
    const { cutAfterMs, buffers } = this.options;
    const timer = cutAfterMs === undefined
      ? undefined
      : setTimeout(end, cutAfterMs);
    const done = () => {
      clearTimeout(timer);
      this.#open.delete(end);
    };
    request.signal.addEventListener("abort", end);
    try {
      const answer = await fetch(this.#target + path, {
        method: request.method,
        headers,
        body: request.body ? await request.bytes() : null,
        signal: controller.signal,
        redirect: "manual",
      });
      const { status } = answer;
      const kept = new Headers(answer.headers);
      // What is read of it is no longer compressed.
      kept.delete("content-encoding");
      kept.delete("content-length");
      if (buffers) {
        const whole = await answer.bytes();
        done();
        return new Response(whole, { status, headers: kept });
      }
      const body = answer.body?.pipeThrough(
        new TransformStream({
          start: (controller) => void (passing = controller),
          flush: done,
          cancel: () => {
            done();
            end();
          },
        }),
      ) ?? null;
      if (!body) done();
      return new Response(body, { status, headers: kept });
    } catch {
      done();
      return new Response(null, { status: 502 });
    }
  }
}
