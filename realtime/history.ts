/**
 * Queries of stored events: pages of a channel, and the latest state of the
 * subjects of events.
 *
 * @module
 */
import { CHANNELS } from "../protocol/channels.ts";
import type { Channel, ChannelKind } from "../protocol/channels.ts";
import type { CommandPayload } from "../protocol/commands.ts";
import { channelAbout } from "../protocol/messages.ts";
import { Refusal } from "../protocol/refusals.ts";
import type { ReplyPayload } from "../protocol/replies.ts";
import type { Principal } from "../security/principal.ts";
import { requireReading } from "../security/rights.ts";
import { Turns } from "./turns.ts";
import { isLogged, requireChannel } from "./channel.ts";
import { FREE_READER } from "./prices.ts";
import type { Reader } from "./prices.ts";
import type { Hub } from "./hub.ts";

/** Longest page, in bytes of text, but at least one event. */
export const MAX_ANSWER_BYTES = 768 * 1024;

/**
 * Pages read at once. One page takes several times its length in memory while
 * it is read, and more pages at once would not finish sooner.
 */
export const MAX_PAGES_AT_ONCE = 4;
/** Most pages that wait to be read. */
export const MAX_PAGES_WAITING = 1_000;
/** Most pages that wait to be read for one address. */
export const MAX_PAGES_WAITING_PER_ADDRESS = 64;

/** Most latest states kept in memory. */
export const MAX_CACHED_STATES = 1_000;
/** Longest latest state kept in memory, in UTF-16 units. */
export const MAX_CACHED_LENGTH = 16 * 1024;

/** A latest state, and the position of its channel when it was read. */
interface CachedState {
  readonly epoch: string;
  readonly seq: number;
  readonly text: string | undefined;
}

/** Events as JSON values, as replies contain them. */
type Data = Record<string, unknown>;

/** A channel's name, and the end of its log. */
export interface ChannelHead {
  /** Canonical name. */
  readonly channel: string;
  /** Identity of its log; `null` without retention. */
  readonly epoch: string | null;
  /** Newest number; `null` likewise. */
  readonly seq: number | null;
}

/** Reads stored events. */
export class History {
  readonly #hub: Hub;
  readonly #states = new Map<string, CachedState>();
  readonly #turns = new Turns({
    atOnce: MAX_PAGES_AT_ONCE,
    waiting: MAX_PAGES_WAITING,
    waitingEach: MAX_PAGES_WAITING_PER_ADDRESS,
  });

  /** Reads through `hub`. */
  constructor(hub: Hub) {
    this.#hub = hub;
  }

  /**
   * One page of a channel, oldest first: after a position when one is given,
   * else the newest events, or those before a position.
   *
   * @param query already validated.
   * @param principal needs the right to read.
   * @param reader is charged for the read.
   * @throws {Refusal} `UNKNOWN_CHANNEL`, `FORBIDDEN`, `INVALID_PAYLOAD` for
   * positions of another epoch, `RATE_LIMITED`, `STORE_UNAVAILABLE`.
   */
  async query(
    { channel: asked, after, before, limit }: CommandPayload<"query">,
    principal: Principal,
    reader: Reader = FREE_READER,
  ): Promise<ReplyPayload<"query_result">> {
    const channel = requireChannel(asked);
    requireReading(principal, channel);
    const { name } = channel;
    if (!isLogged(channel)) {
      throw new Refusal("INVALID_PAYLOAD", `${name} keeps no history`);
    }
    return await this.#turns.run(reader.address, () => {
      reader.admit();
      return this.#page(name, { after, before, limit }, reader);
    });
  }

  async #page(
    name: string,
    { after, before, limit }: Omit<CommandPayload<"query">, "channel">,
    reader: Reader,
  ): Promise<ReplyPayload<"query_result">> {
    const [head] = await this.#hub.heads([name]);
    const { epoch, seq } = head!;
    for (const position of [after, before]) {
      if (!position || position.epoch === epoch || seq === 0) continue;
      if (!await this.#hub.continues(name, position)) {
        throw new Refusal(
          "INVALID_PAYLOAD",
          `Positions in ${name} are of epoch ${epoch} now`,
        );
      }
    }
    const upTo = before ? Math.min(before.seq - 1, seq) : seq;
    const { entries } = await this.#hub.read(name, {
      after: after?.seq ?? 0,
      upTo,
      limit: limit + 1,
      maxBytes: MAX_ANSWER_BYTES,
      newest: after === undefined,
    });
    reader.read(entries.reduce((sum, { json }) => sum + json.length, 0));
    const more = entries.length > limit;
    const kept = after === undefined
      ? entries.slice(-limit)
      : entries.slice(0, limit);
    // A page may end before its limit, because of its length.
    const [first, last] = [kept.at(0)?.seq, kept.at(-1)?.seq];
    const cut = !more && first !== undefined &&
      (after === undefined
        ? first > 1 && first > await this.#hub.oldest(name)
        : last! < upTo);
    return {
      channel: name,
      epoch: seq === 0 ? null : epoch,
      seq,
      events: kept.map(({ json }) => JSON.parse(json) as Data),
      more: more || cut,
    };
  }

  /**
   * The newest event about a subject.
   *
   * @param key `block:<height or id>`, `transaction:<id>`, `logs:<id>`,
   * `validator:<id>`, `node:<id>` or `channel:<name>`.
   * @param principal needs the right to read.
   * @param reader is charged for the read.
   * @returns the event, or `null` when there is none.
   * @throws {Refusal} `INVALID_PAYLOAD` for a key of no known kind,
   * `UNKNOWN_CHANNEL`, `FORBIDDEN`, `RATE_LIMITED`, `STORE_UNAVAILABLE`.
   */
  async latest(
    key: string,
    principal: Principal,
    reader: Reader = FREE_READER,
  ): Promise<Data | null> {
    const [kind, rest] = split(key);
    if (kind === "channel") {
      const { events } = await this.query(
        { channel: rest, limit: 1 },
        principal,
        reader,
      );
      return events[0] ?? null;
    }
    const about = channelAbout(kind);
    if (!about || rest === "") {
      throw new Refusal("INVALID_PAYLOAD", undefined, {
        issues: [{
          path: "payload.key",
          message:
            "expected block:, transaction:, logs:, validator:, node: or channel: and a name",
        }],
      });
    }
    const channel = { name: about, kind: about };
    requireReading(principal, channel);
    reader.admit();
    const text = await this.#state(key, channel) ??
      await this.#state(`${kind}#${rest}`, channel);
    if (text === undefined) return null;
    reader.read(text.length);
    return JSON.parse(text) as Data;
  }

  /**
   * A state is cached until its channel receives a new event here, so that a
   * state requested by many is read once per event.
   */
  async #state(key: string, channel: Channel): Promise<string | undefined> {
    const { epoch, seq } = await this.#hub.open(channel);
    const known = this.#states.get(key);
    if (known?.epoch === epoch && known.seq === seq) return known.text;
    const text = await this.#hub.latest(key);
    this.#states.delete(key);
    if (text === undefined || text.length <= MAX_CACHED_LENGTH) {
      this.#states.set(key, { epoch, seq, text });
    }
    for (const oldest of this.#states.keys()) {
      if (this.#states.size <= MAX_CACHED_STATES) break;
      this.#states.delete(oldest);
    }
    return text;
  }

  /** The catalogue, with the end of each fixed channel's log. */
  async channels(): Promise<(ChannelKind & ChannelHead)[]> {
    const kinds = Object.entries(CHANNELS).filter(([name]) => name !== "room");
    const logged = kinds.filter(([, kind]) => kind.retention === "log")
      .map(([name]) => name);
    const heads = await this.#hub.heads(logged);
    return kinds.map(([name, kind]) => {
      const head = heads[logged.indexOf(name)];
      return {
        channel: name,
        ...kind,
        epoch: head?.epoch ?? null,
        seq: head?.seq ?? null,
      };
    });
  }
}

function split(key: string): [string, string] {
  const at = key.indexOf(":");
  return at < 0 ? [key, ""] : [key.slice(0, at), key.slice(at + 1)];
}
