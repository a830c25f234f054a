/**
 * The link between instances that share a store whose commits carry messages.
 *
 * @module
 */
import type { Announcements } from "../store/store.ts";
import type { Head } from "../store/event_log.ts";
import type { ChannelHead, Hint, Link, LinkObserver } from "./link.ts";

/**
 * Receives the ends of channels that the log's own commits announce. Events are
 * then read from the log at once, so nothing is sent besides the commit.
 */
export class NotifyLink implements Link {
  readonly #from: string;
  readonly #observer: LinkObserver;
  readonly #listening: Disposable;
  #listener: (hint: Hint) => void = () => {};

  /**
   * Starts listening.
   *
   * @param announcements of the store that holds the log.
   * @param from unique name of this instance, without a space.
   * @param observer receives each announcement.
   */
  constructor(
    announcements: Announcements,
    from: string,
    observer: LinkObserver = {},
  ) {
    this.#from = from;
    this.#observer = observer;
    this.#listening = announcements.listen((text) => this.#received(text));
  }

  /**
   * The announcement in a commit of this instance.
   *
   * @param heads ends of its channels after the commit.
   * @param maxBytes longest text; if the ends do not fit, the text only reports
   * that there are events to read.
   */
  announcement(heads: ReadonlyMap<string, Head>, maxBytes: number): string {
    const all = [...heads].map(([channel, { epoch, seq }]) =>
      `${channel} ${epoch} ${seq}`
    );
    const text = [this.#from, ...all].join("\n");
    this.#observer.posted?.("notify");
    // Names of channels are ASCII: one byte each.
    return text.length <= maxBytes ? text : this.#from;
  }

  /** Does nothing: the commit announced its events. */
  publish(): void {}

  /** Registers the only listener, which must not throw. */
  receive(listener: (hint: Hint) => void): void {
    this.#listener = listener;
  }

  /** Stops listening. */
  [Symbol.dispose](): void {
    this.#listener = () => {};
    this.#listening[Symbol.dispose]();
  }

  #received(text: string | undefined): void {
    const [from, ...lines] = text?.split("\n") ?? [];
    if (from === this.#from) return;
    const heads = lines.flatMap(headIn);
    // No channel is named, or another version wrote it: compare all channels.
    const incomplete = heads.length === 0 || heads.length < lines.length;
    this.#observer.received?.("notify", incomplete);
    this.#listener({ events: [], heads, incomplete });
  }
}

function headIn(line: string): ChannelHead[] {
  const [channel, epoch, seq] = line.split(" ");
  const number = Number(seq);
  if (!channel || !epoch || !Number.isSafeInteger(number)) return [];
  return [{ channel, epoch, seq: number }];
}
