/**
 * The verbs of a connected client, one method each.
 *
 * @module
 */
import type { Channel } from "../protocol/channels.ts";
import type { ClientFrame, Command } from "../protocol/decode.ts";
import type {
  CommandPayload,
  Subscription as Requested,
} from "../protocol/commands.ts";
import { instantText } from "../protocol/encode.ts";
import type { ReplyPayload, ReplyType } from "../protocol/replies.ts";
import { publisherOf } from "../security/principal.ts";
import type { Principal } from "../security/principal.ts";
import { requirePublishing, requireReading } from "../security/rights.ts";
import type { Clock } from "../platform/clock.ts";
import { located } from "./block_cursor.ts";
import { requireChannel } from "./channel.ts";
import type { Hub } from "./hub.ts";
import type { Outbox } from "./outbox.ts";
import type { Reader } from "./prices.ts";
import { answerTo } from "./questions.ts";
import type { Question, QuestionParts } from "./questions.ts";
import type { Tracks } from "./tracks.ts";
import { framesOf, readSnapshots } from "./snapshots.ts";
import type { Snapshot, Snapshots } from "./snapshots.ts";
import { subscribe } from "./subscribe.ts";
import { watch } from "./watch.ts";

/** Parts that verbs need. */
export interface VerbParts extends QuestionParts {
  /** Publishes and opens channels. */
  readonly hub: Hub;
  /** Reads the snapshots that subscriptions begin with. */
  readonly snapshots: Pick<Snapshots, "read">;
  /** Tracks transactions. */
  readonly tracks: Pick<Tracks, "track">;
  /** Time, for `pong`. */
  readonly clock: Clock;
}

/** The connection that sent a command. */
export interface Caller {
  /** Its current principal. */
  principal(): Principal;
  /** Its address, to which shared bounds apply, and its account. */
  readonly reader: Reader;
  /** Charges for subscribed channels. */
  subscribing(channels: number): void;
  /** Holds its subscriptions. */
  readonly outbox: Outbox;
  /** Whether it is still open, after reading the log. */
  isOpen(): boolean;
  /** Sends it a reply to the frame `ref`. */
  reply<Type extends ReplyType>(
    type: Type,
    payload: ReplyPayload<Type>,
    ref?: string,
  ): void;
}

/** Verbs that change the caller's identity; the session executes them itself. */
export type SessionVerb = "connect" | "refresh";

/** A command that does not change the session. */
export type PlainCommand = Exclude<Command, { readonly type: SessionVerb }>;

/** A frame that publishes. */
export type PublishFrame = Extract<ClientFrame, { readonly kind: "publish" }>;

const TRANSACTIONS: Channel = { name: "transactions", kind: "transactions" };

/** Executes the verbs of one caller. */
export class Verbs implements Disposable {
  readonly #parts: VerbParts;
  readonly #caller: Caller;
  /** Transactions that the caller tracks, by id. */
  readonly #tracks = new Map<string, Disposable>();

  /** Sends replies to `caller`. */
  constructor(parts: VerbParts, caller: Caller) {
    this.#parts = parts;
    this.#caller = caller;
  }

  /**
   * Executes one command.
   *
   * @returns nothing when it completes synchronously.
   * @throws {Refusal} with the reason.
   */
  obey(command: PlainCommand): Promise<void> | void {
    const { id } = command;
    switch (command.type) {
      case "ping":
        return this.#ping(id);
      case "subscribe":
        return this.#subscribe(command.payload, id);
      case "unsubscribe":
        return this.#unsubscribe(command.payload, id);
      case "watch":
        return this.#watch(command.payload, id);
      case "track":
        return this.#track(command.payload, id);
      default:
        return this.#answer(command);
    }
  }

  /** Stops its tracking, because the caller has left. */
  [Symbol.dispose](): void {
    for (const txId of [...this.#tracks.keys()]) this.#untrack(txId);
  }

  /**
   * Publishes, in the order of calls.
   *
   * @returns resolves when it is stored and answered.
   * @throws {Refusal} `FORBIDDEN` synchronously; others reject the promise.
   */
  publish({ publications, id: ref }: PublishFrame): Promise<void> {
    const principal = this.#caller.principal();
    requirePublishing(principal, publications);
    return this.#parts.hub.publish(publications, publisherOf(principal))
      .then((accepted) => this.#caller.reply("published", { accepted }, ref));
  }

  #ping(ref: string | undefined): void {
    const serverTime = instantText(this.#parts.clock.now());
    this.#caller.reply("pong", { serverTime }, ref);
    this.#caller.outbox.reportPositions();
  }

  async #subscribe(
    { channels }: CommandPayload<"subscribe">,
    ref: string | undefined,
  ): Promise<void> {
    const { hub } = this.#parts;
    const caller = this.#caller;
    const principal = caller.principal();
    let requests = channels.map(asRequested);
    let begun: ReadonlyMap<string, Snapshot> | undefined;
    if (requests.some(({ snapshot }) => snapshot)) {
      const { snapshots } = this.#parts;
      const from = { snapshots, principal, reader: caller.reader };
      ({ requests, snapshots: begun } = await readSnapshots(requests, from));
    }
    const found = located(requests, hub);
    await subscribe(found instanceof Promise ? await found : found, {
      hub,
      outbox: caller.outbox,
      principal: caller.principal(),
      isOpen: () => caller.isOpen(),
      subscribing: (count) => caller.subscribing(count),
      answer: (payload) => {
        caller.reply("subscribed", payload, ref);
        for (const { channel } of payload.channels) {
          const snapshot = begun?.get(channel);
          if (!snapshot) continue;
          for (const frame of framesOf(channel, snapshot)) {
            caller.reply("snapshot", frame);
          }
        }
      },
      reportGap: (payload) => caller.reply("gap", payload),
    });
  }

  #unsubscribe(
    { channels }: CommandPayload<"unsubscribe">,
    ref: string | undefined,
  ): void {
    const { outbox } = this.#caller;
    const left = channels
      .map((name) => outbox.has(name) ? name : requireChannel(name).name)
      .filter((name) => outbox.detach(name));
    this.#caller.reply("unsubscribed", { channels: left }, ref);
  }

  async #watch(
    command: CommandPayload<"watch">,
    ref: string | undefined,
  ): Promise<void> {
    const { outbox } = this.#caller;
    await watch(
      command,
      outbox,
      (payload) => this.#caller.reply("watched", payload, ref),
    );
  }

  async #answer(question: Question): Promise<void> {
    const { reader } = this.#caller;
    const asker = { principal: this.#caller.principal(), reader };
    const { type, payload } = await answerTo(question, asker, this.#parts);
    this.#caller.reply(type, payload, question.id);
  }

  /** Tracking a transaction again replaces the earlier track. */
  async #track(
    { txId, until }: CommandPayload<"track">,
    ref: string | undefined,
  ): Promise<void> {
    const caller = this.#caller;
    requireReading(caller.principal(), TRANSACTIONS);
    const track = await this.#parts.tracks.track({
      txId,
      until,
      address: caller.reader.address,
      moved: (state) => {
        if (state.end) this.#tracks.delete(txId);
        // Another token may have fewer rights than the previous one.
        if (caller.principal().mayRead(TRANSACTIONS)) {
          caller.reply("tx_state", state);
        } else this.#untrack(txId);
      },
    });
    if (!caller.isOpen()) return track[Symbol.dispose]();
    this.#untrack(txId);
    if (!track.state.end) this.#tracks.set(txId, track);
    caller.reply("tracked", track.state, ref);
  }

  #untrack(txId: string): void {
    this.#tracks.get(txId)?.[Symbol.dispose]();
    this.#tracks.delete(txId);
  }
}

function asRequested(entry: string | Requested): Requested {
  return typeof entry === "string" ? { channel: entry } : entry;
}
