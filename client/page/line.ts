/**
 * The page's path to the server, with a place to cut it: the client is not
 * asked, and learns of it as it would of a broken network.
 *
 * The server's end is closed properly, since a page cannot leave a socket
 * open and silent; a server that has to find out is what a pulled cable tests.
 *
 * @module
 */
/// <reference lib="dom" />

/** How long a try to connect over a cut line takes to fail, in milliseconds. */
export const REFUSAL_MS = 300;

/** What a browser reports when a connection ends without a goodbye. */
const ABNORMAL = { code: 1006, wasClean: false } as const;

/** Makes sockets that can be cut. */
export class Line {
  readonly #sockets = new Set<WebSocket>();
  /** Tries under way over the cut line; each can be failed now. */
  readonly #tries = new Set<() => void>();
  #isCut = false;

  /** What the client is to make its sockets with. */
  readonly WebSocket: new (url: string) => WebSocket;

  /** Makes a whole line. */
  constructor() {
    const dial = (url: string) => this.#dial(url);
    this.WebSocket = class {
      constructor(url: string) {
        return dial(url);
      }
    } as unknown as new (url: string) => WebSocket;
  }

  /** Whether it is broken at present. */
  get isCut(): boolean {
    return this.#isCut;
  }

  /** Breaks every connection, and fails new ones until {@link mend}. */
  cut(): void {
    this.#isCut = true;
    for (const socket of this.#sockets) {
      const { onclose } = socket;
      // Nothing that is in transit arrives.
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
      onclose?.call(socket, new CloseEvent("close", ABNORMAL));
    }
    this.#sockets.clear();
  }

  /** Lets connections through again, and reports it as a browser does. */
  mend(): void {
    this.#isCut = false;
    for (const fail of this.#tries) fail();
    dispatchEvent(new Event("online"));
  }

  #dial(url: string): WebSocket {
    if (this.#isCut) return this.#unreachable();
    const socket = new WebSocket(url);
    this.#sockets.add(socket);
    socket.addEventListener("close", () => this.#sockets.delete(socket));
    return socket;
  }

  /** A socket that never opens. */
  #unreachable(): WebSocket {
    const end = (): void => {
      clearTimeout(timer);
      this.#tries.delete(fail);
    };
    const socket: Pick<WebSocket, "onclose" | "close" | "send"> = {
      onclose: null,
      close: end,
      send: () => {},
    };
    const fail = (): void => {
      end();
      const { onclose } = socket;
      onclose?.call(socket as WebSocket, new CloseEvent("close", ABNORMAL));
    };
    const timer = setTimeout(fail, REFUSAL_MS);
    this.#tries.add(fail);
    return socket as WebSocket;
  }
}
