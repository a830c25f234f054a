/**
 * Reads compressed frames. Loaded only by clients that ask for compression:
 * should it fail, the connection goes on without.
 *
 * @module
 */
import { inflateSync } from "fflate";
import { transmit } from "./parts.ts";
import type { Parts } from "./parts.ts";
import type { ReplyPayload } from "../protocol/replies.ts";

/** Longest wait for the dictionary, in milliseconds. */
export const DICTIONARY_TIMEOUT_MS = 10_000;
/** Most frames that wait for it. */
export const MAX_WAITING = 1_024;

/** A frame as it arrives. */
type Data = string | ArrayBuffer;

/** The fields of a `connected` that are used here. */
interface Connected {
  readonly type?: unknown;
  readonly ref?: string;
  readonly payload?: Pick<ReplyPayload<"connected">, "compress"> & {
    readonly updates?: readonly Connected[];
  };
}

/**
 * Asks for compression, now and on each later connection, and reads what is
 * compressed.
 *
 * @param parts of the client.
 */
export function inflate(parts: Parts): void {
  const { receive, options: { client, batch = true }, address } = parts;
  const decoder = new TextDecoder();
  /** The turn whose connection was asked to compress, and how. */
  let askedIn = 0;
  let asked: string | undefined;
  /** The turn whose frames wait, until its dictionary is there. */
  let waitingIn = 0;
  let waiting: Data[] = [];
  let dictionary: Uint8Array | undefined;
  let known: string | undefined;

  /** Before the subscriptions: what they catch up may be compressed, too. */
  function ask(): void {
    const payload = { client, batch, compress: "deflate" };
    askedIn = parts.turn;
    asked = transmit(parts, "connect", payload);
  }

  /**
   * Looks for the `connected` that opens the connection, then for our own,
   * which may share a frame with what is due at that time.
   */
  function greeted(text: string): void {
    const frame = parse(text);
    const all = frame.type === "BATCH_UPDATE"
      ? frame.payload?.updates
      : [frame];
    for (const { type, ref, payload } of all ?? []) {
      if (type !== "connected" || !ref) continue;
      if (askedIn !== parts.turn) return ask();
      if (ref !== asked) continue;
      asked = undefined;
      const name = payload?.compress?.dictionary;
      if (name && name !== known) load(name);
    }
  }

  async function load(name: string): Promise<void> {
    const mine = waitingIn = parts.turn;
    waiting = [];
    try {
      const url = new URL(`dictionary/${name}`, address);
      const answer = await fetch(url.href.replace(/^ws/, "http"), {
        signal: AbortSignal.timeout(DICTIONARY_TIMEOUT_MS),
      });
      const bytes = await answer.arrayBuffer();
      if (!answer.ok) throw answer;
      dictionary = new Uint8Array(bytes);
      known = name;
    } catch {
      if (mine === parts.turn) giveUp();
      return;
    }
    if (mine !== parts.turn) return;
    waitingIn = 0;
    for (const data of waiting) {
      if (mine === parts.turn) read(data);
    }
    waiting = [];
  }

  /** Connects without; the client's positions bring back what waited. */
  function giveUp(): void {
    const mine = parts.turn;
    waiting = [];
    parts.receive = (data) => {
      if (parts.turn !== mine) receive(data);
    };
    parts.socket?.close();
  }

  /** Shows those who look at frames how many bytes the next one was. */
  const { call } = parts;
  let wireBytes = 0;
  parts.call = (listeners, argument) => {
    if (!wireBytes || listeners as unknown !== parts.onFrame) {
      return call(listeners, argument);
    }
    const shown = { ...argument, wireBytes };
    wireBytes = 0;
    call(listeners, shown);
  };

  /** What cannot be inflated is malformed, as the empty text is. */
  function read(data: Data): void {
    if (typeof data === "string") return receive(data);
    let text = "";
    try {
      const bytes = new Uint8Array(data);
      text = decoder.decode(
        inflateSync(bytes, dictionary ? { dictionary } : {}),
      );
    } catch {
      // Reported by the client.
    }
    wireBytes = data.byteLength;
    receive(text);
    wireBytes = 0;
  }

  parts.receive = (data: Data) => {
    // Replies are text, and precede the first compressed frame.
    parts.socket!.binaryType = "arraybuffer";
    const isAgreed = askedIn === parts.turn && !asked;
    if (!isAgreed && typeof data === "string") greeted(data);
    if (waitingIn !== parts.turn) return read(data);
    waiting.push(data);
    if (waiting.length > MAX_WAITING) giveUp();
  };
  if (parts.welcome) ask();
}

/** Parses a text, if it is JSON. */
function parse(text: string): Connected {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}
