/**
 * Publishing for the nodes of a chain: in order, through faults, with what the
 * service finds missing.
 *
 * @module
 */
import type { AnyMessage } from "../protocol/messages.ts";
import { HttpPublisher } from "./http_publisher.ts";
import { RetryingPublisher } from "./retrying_publisher.ts";

/** How a publisher is set up. */
export interface PublisherOptions {
  /** Where the service is: `http:` or `https:`. */
  readonly url: string;
  /** A publisher's token. */
  readonly token: string;
  /**
   * Returns the current blocks of some heights, in order, with their other
   * messages; none when they are not available. Called when the service does
   * not have a block's parent, again with more when the fork is deeper, and
   * again when it throws.
   */
  readonly fill?: (
    wanted: {
      /** The chain's name; absent: the default one. */
      readonly chain?: string | undefined;
      /** The lowest height. */
      readonly from: number;
      /** The highest. */
      readonly to: number;
    },
  ) => Promise<readonly AnyMessage[]>;
  /** Records retries, and messages that were shortened or refused. */
  readonly log?: (
    event: string,
    fields: Readonly<Record<string, unknown>>,
  ) => void;
  /** Longest message the service takes, in bytes; 65,536 when omitted. */
  readonly maxMessageBytes?: number;
}

/** Publishes to one service. */
export interface ChainPublisher extends Disposable {
  /**
   * Publishes messages after all that were given before them; a failed call is
   * repeated until it is accepted, so wait for it before you send more.
   *
   * @param messages any number; each with an `id` that names its occurrence.
   * @param signal ends the attempt.
   * @returns when all are accepted, or were logged as never acceptable.
   * @throws when aborted, when the token does not allow to publish, or when
   * the service refuses a block because others are missing (`code` is
   * `PARENT_UNKNOWN`, `missing` names which) and `fill` does not have them.
   */
  send(messages: readonly AnyMessage[], signal?: AbortSignal): Promise<void>;
}

/**
 * Opens a publisher; it makes no request yet.
 *
 * @param options where to publish, with which token, and what to do about holes.
 * @throws {TypeError} when `url` is not an `http:` or `https:` URL.
 */
export function openPublisher(options: PublisherOptions): ChainPublisher {
  const { url, token, fill, log = () => {}, maxMessageBytes } = options;
  const http = new HttpPublisher({ base: url, token });
  const publisher = new RetryingPublisher({
    publisher: http,
    log,
    fill,
    maxMessageBytes,
  });
  const end = new AbortController();
  return {
    send(messages, signal) {
      const signals = signal ? [signal, end.signal] : [end.signal];
      return publisher.send(messages, AbortSignal.any(signals));
    },
    [Symbol.dispose]() {
      end.abort(new Error("Publisher was closed"));
      http[Symbol.dispose]();
    },
  };
}
