/**
 * The positions of one SSE connection as text: the `id` of its events, which an
 * `EventSource` sends back as `Last-Event-ID`.
 *
 * One channel: `epoch:seq`. Up to {@link NAMED_CHANNELS}:
 * `name=epoch:seq,name=epoch:seq`. More, packed: `~`, a digest of the names,
 * then for each name, in alphabetical order, `.` for no position, `!` for a
 * channel that has had no event, or a digest of the epoch and the number. The
 * names are in the URL of the request, so the packed form omits them; it stays
 * below 2 KB for 256 channels.
 *
 * @module
 */
import type { Position } from "../protocol/commands.ts";
import type { ReplyPayload } from "../protocol/replies.ts";
import { UNBORN_EPOCH } from "../store/event_log.ts";
import { digestOf, digitsOf, EPOCH_DIGEST, numberIn } from "./digest.ts";

/** Most channels whose `id` contains names and epochs in full. */
export const NAMED_CHANNELS = 8;

/** Prefix of the packed form; no name and no epoch starts with it. */
const PACKED = "~";
/** Most positions read from an `id` that names its channels. */
const MAX_POSITIONS = 256;
/** In the packed form: a channel without a position. */
const NO_POSITION = ".";

/** In the packed form: a channel that has had no event. */
const NO_EVENT = "!";

/** Positions by channel; `undefined` where there is none yet. */
type Positions = Map<string, Position | undefined>;

/** The positions of one SSE connection. */
export class SseCursor {
  readonly #names: readonly string[];
  #positions: Positions;
  /** The packed form of each position, cached until the position changes. */
  readonly #packed = new Map<string, string>();

  /**
   * Starts without positions.
   *
   * @param names canonical, as the URL of the request names them.
   */
  constructor(names: readonly string[]) {
    this.#names = ordered(names);
    this.#positions = new Map(names.map((name) => [name, undefined]));
  }

  /** Sets the starting positions. */
  begin(channels: ReplyPayload<"subscribed">["channels"]): void {
    this.#packed.clear();
    this.#positions = new Map(channels.map(({ channel, epoch, seq }) => [
      channel,
      epoch === null || seq === null ? undefined : { epoch, seq },
    ]));
  }

  /** Moves to a new position in one channel. */
  move(channel: string, position: Position): void {
    this.#packed.delete(channel);
    this.#positions.set(channel, position);
  }

  /** All positions as text; empty when there is none. */
  id(): string {
    if (this.#names.length > NAMED_CHANNELS) return this.#pack();
    return [...this.#positions].flatMap(([channel, position]) => {
      if (!position) return [];
      const text = `${position.epoch}:${position.seq}`;
      return this.#positions.size === 1 ? text : `${channel}=${text}`;
    }).join(",");
  }

  #pack(): string {
    let text = PACKED + digestOf(this.#names.join(","));
    for (const name of this.#names) text += this.#packedOf(name);
    return text;
  }

  #packedOf(name: string): string {
    const known = this.#packed.get(name);
    if (known !== undefined) return known;
    const text = packedPosition(this.#positions.get(name));
    this.#packed.set(name, text);
    return text;
  }
}

/**
 * Reads an `id` written by {@link SseCursor.id} or by hand.
 *
 * @param id in any of the three forms.
 * @param names canonical, as the URL of the request names them.
 * @param canonical returns the canonical name of a channel.
 * @returns positions by channel, the epochs of the packed form as digests;
 * nothing for an invalid `id`.
 */
export function positionsIn(
  id: string,
  names: readonly string[],
  canonical: (name: string) => string,
): ReadonlyMap<string, Position> | undefined {
  if (id.startsWith(PACKED)) return unpack(id, ordered(names));
  const positions = new Map<string, Position>();
  const parts = id.split(",");
  if (parts.length > MAX_POSITIONS) return;
  for (const part of parts) {
    const [, name, epoch, seq] =
      /^(?:([^=]{1,128})=)?([\w.-]{1,64}):(\d{1,15})$/.exec(part.trim()) ?? [];
    if (epoch === undefined || (name === undefined && names.length > 1)) return;
    positions.set(name === undefined ? names[0]! : canonical(name), {
      epoch,
      seq: Number(seq),
    });
  }
  return positions;
}

function packedPosition(position: Position | undefined): string {
  if (!position) return NO_POSITION;
  const { epoch, seq } = position;
  if (epoch === UNBORN_EPOCH && seq === 0) return NO_EVENT;
  return digestOf(epoch) + digitsOf(seq);
}

function unpack(
  id: string,
  names: readonly string[],
): ReadonlyMap<string, Position> | undefined {
  const digest = digestOf(names.join(","));
  if (!id.startsWith(digest, PACKED.length)) return;
  const positions = new Map<string, Position>();
  let at = PACKED.length + digest.length;
  for (const name of names) {
    if (id[at] === NO_POSITION || id[at] === NO_EVENT) {
      if (id[at++] === NO_EVENT) {
        positions.set(name, { epoch: UNBORN_EPOCH, seq: 0 });
      }
      continue;
    }
    const epoch = id.slice(at, at + digest.length);
    const number = numberIn(id, at + digest.length);
    if (!number) return;
    positions.set(name, { epoch: EPOCH_DIGEST + epoch, seq: number.value });
    at = number.end;
  }
  return at === id.length ? positions : undefined;
}

function ordered(names: readonly string[]): readonly string[] {
  return [...new Set(names)].sort();
}
