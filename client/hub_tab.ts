/**
 * A tab that shares the socket of another: what it follows, the last that was
 * delivered of it, and how much it has not taken yet.
 *
 * @module
 */

/** Most frames that a tab has not taken; then it connects again. */
export const MAX_UNREAD_FRAMES = 2_000;
/** Most UTF-16 units of them. */
export const MAX_UNREAD_CHARS = 8_388_608;

/** A position; nothing on channels without retention. */
export type At =
  | { readonly epoch: string; readonly seq: number }
  | undefined;

/** A frame of the protocol, as varied as that is. */
// deno-lint-ignore no-explicit-any -- read by type, after the server built it
export type Frame = any;

/** How a tab is reached. */
export interface TabLink {
  /** Delivers a frame. */
  post(text: string): void;
  /** Called once, when too much is unread: the tab has to connect again. */
  overflow(): void;
}

/** One tab. */
export class Tab {
  /** Goes before the names of its filtered subscriptions on the wire. */
  readonly prefix: string;
  /** What it follows, and the last that was delivered to it. */
  readonly channels: Map<string, At> = new Map();
  /** Its filtered subscriptions, as the server knows them. */
  readonly filtered: Set<string> = new Set();
  readonly #link: TabLink;
  /** The length of each frame that it has not taken. */
  readonly #unread: number[] = [];
  #unreadChars = 0;
  #isOver = false;

  /** A tab that follows nothing yet. */
  constructor(prefix: string, link: TabLink) {
    this.prefix = prefix;
    this.#link = link;
  }

  /** Delivers a frame, unless the tab does not keep up. */
  deliver(text: string): void {
    if (this.#isOver) return;
    this.#unread.push(text.length);
    this.#unreadChars += text.length;
    this.#isOver = this.#unread.length > MAX_UNREAD_FRAMES ||
      this.#unreadChars > MAX_UNREAD_CHARS;
    if (this.#isOver) this.#link.overflow();
    else this.#link.post(text);
  }

  /** The tab is gone. */
  close(): void {
    this.#isOver = true;
  }

  /** Delivers a frame that the hub made. */
  answer(frame: Frame): void {
    this.deliver(JSON.stringify(frame));
  }

  /** The tab took the oldest `count` frames. */
  took(count: number): void {
    for (const chars of this.#unread.splice(0, count)) {
      this.#unreadChars -= chars;
    }
  }

  /** The name of a filtered subscription as the tab knows it. */
  own(name: string): string {
    return name.slice(this.prefix.length);
  }
}
