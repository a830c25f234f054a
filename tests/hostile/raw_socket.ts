/**
 * A WebSocket client written by hand, which does what no decent one would:
 * frames of any shape, half of a handshake, silence.
 *
 * @module
 */

/** Opcodes, as RFC 6455 numbers them. */
export const OPCODE = {
  continuation: 0,
  text: 1,
  binary: 2,
  close: 8,
  ping: 9,
  pong: 10,
} as const;

/** How a connection is asked for. */
export interface RawOptions {
  /** Where the server listens. */
  readonly port: number;
  /** Headers besides those of a handshake, in lines. */
  readonly headers?: readonly string[];
  /** Path and query. */
  readonly path?: string;
}

/** One frame to be sent. */
export interface RawFrame {
  /** What kind; text when absent. */
  readonly opcode?: number;
  /** Whether it is the last of its message; it is when absent. */
  readonly fin?: boolean;
  /** What is in it. */
  readonly body: Uint8Array<ArrayBuffer> | string;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** One TCP connection that speaks WebSocket, more or less. */
export class RawSocket implements Disposable {
  readonly #connection: Deno.TcpConn;
  #text = "";
  #isReading = false;
  #ended = Promise.withResolvers<void>();

  private constructor(connection: Deno.TcpConn) {
    this.#connection = connection;
  }

  /** Connects, and sends nothing. */
  static async dial(port: number): Promise<RawSocket> {
    const connection = await Deno.connect({ hostname: "127.0.0.1", port });
    return new RawSocket(connection);
  }

  /** Connects and asks for an upgrade; see {@link answer}. */
  static async open(options: RawOptions): Promise<RawSocket> {
    const socket = await RawSocket.dial(options.port);
    await socket.write(handshake(options));
    return socket;
  }

  /** Everything that came, from the status line on, frames read as text. */
  get received(): string {
    return this.#text;
  }

  /** Fulfilled when the server has ended the connection; reads meanwhile. */
  get ended(): Promise<void> {
    this.listen();
    return this.#ended.promise;
  }

  /** Begins to read, and to keep what comes, up to 1 MiB. */
  listen(): void {
    if (this.#isReading) return;
    this.#isReading = true;
    void this.#read();
  }

  /** The status the server answered the handshake with. */
  async status(): Promise<number> {
    this.listen();
    const isWhole = () => this.#text.includes("\r\n\r\n");
    for (let i = 0; i < 3_000 && !isWhole(); i++) {
      await new Promise((turn) => setTimeout(turn, 10));
    }
    return Number(/^HTTP\/1\.1 (\d{3})/.exec(this.#text)?.[1] ?? 0);
  }

  /** Sends bytes or text as they are; a connection that broke swallows them. */
  async write(data: Uint8Array<ArrayBuffer> | string): Promise<boolean> {
    let rest = typeof data === "string" ? encoder.encode(data) : data;
    try {
      while (rest.byteLength > 0) {
        rest = rest.subarray(await this.#connection.write(rest));
      }
      return true;
    } catch {
      return false;
    }
  }

  /** Sends one frame, masked with zeros as a client must mask. */
  send(frame: RawFrame): Promise<boolean> {
    return this.write(encodeFrame(frame));
  }

  /** Lets the connection go without a word. */
  [Symbol.dispose](): void {
    try {
      this.#connection.close();
    } catch {
      // Reading to the end has closed it.
    }
  }

  async #read(): Promise<void> {
    const buffer = new Uint8Array(64 * 1024);
    try {
      for (;;) {
        const length = await this.#connection.read(buffer);
        if (length === null) break;
        if (this.#text.length > 1 << 20) continue;
        this.#text += decoder.decode(buffer.subarray(0, length));
      }
    } catch {
      // Reset by the server, or closed by the test.
    }
    this.#ended.resolve();
  }
}

/** The bytes of one frame. */
export function encodeFrame(
  { opcode = OPCODE.text, fin = true, body }: RawFrame,
): Uint8Array<ArrayBuffer> {
  const data = typeof body === "string" ? encoder.encode(body) : body;
  const { byteLength } = data;
  const extra = byteLength < 126 ? 0 : byteLength < 65_536 ? 2 : 8;
  const frame = new Uint8Array(2 + extra + 4 + byteLength);
  const view = new DataView(frame.buffer);
  frame[0] = (fin ? 0x80 : 0) | opcode;
  frame[1] = 0x80 | (extra === 0 ? byteLength : extra === 2 ? 126 : 127);
  if (extra === 2) view.setUint16(2, byteLength);
  if (extra === 8) view.setBigUint64(2, BigInt(byteLength));
  frame.set(data, 2 + extra + 4);
  return frame;
}

/** The request that asks for an upgrade. */
export function handshake(
  { port, headers = [], path = "/ws" }: RawOptions,
): string {
  return [
    `GET ${path} HTTP/1.1`,
    `Host: 127.0.0.1:${port}`,
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ...headers,
    "\r\n",
  ].join("\r\n");
}
