/**
 * The content of a commit: events get their numbers and are encoded, repeated
 * ids get their earlier result, and refused requests are left out.
 *
 * @module
 */
import { encodeEvent } from "../protocol/encode.ts";
import { Refusal } from "../protocol/refusals.ts";
import type { LoggedEntry } from "./entry.ts";
import { UNBORN_EPOCH } from "./event_log.ts";
import type { Draft, Head, StreamPosition } from "./event_log.ts";
import { digestOf, ID_MEMORY_MS, idName, isNamed } from "./id_memory.ts";
import type { NamedDraft, UsedId } from "./id_memory.ts";
import { statesOf } from "./latest_states.ts";
import type { State } from "./latest_states.ts";
import { isOwn } from "./log_heads.ts";
import type { HeadRecord } from "./log_heads.ts";
import type { Judgement, Rehearsal } from "./ingest.ts";

/** The positions of a request's events, or the reason of their refusal. */
export type Answer = readonly StreamPosition[] | Refusal;

/** Data read before a commit is prepared. */
export interface Known {
  /** Ids used already, by `idName`. */
  readonly ids: ReadonlyMap<string, UsedId>;
  /** Rooms that publishers have created, by subject. */
  readonly rooms: ReadonlyMap<string, number>;
}

/** A channel's part of a commit. */
export interface ChannelPart {
  /** The end of its log after the commit. */
  head: HeadRecord;
  /** Its new events. */
  readonly entries: LoggedEntry[];
}

/** Parts that a {@link DraftCommit} needs. */
export interface DraftCommitOptions {
  /** When the events are accepted, in epoch milliseconds. */
  readonly now: number;
  /** Creates ids of events without one, and epochs. */
  readonly nextId: (now: number) => string;
  /** Data read before. */
  readonly known: Known;
  /** The current end of a channel's log. */
  readonly headOf: (channel: string) => HeadRecord;
  /** Judges requests; when absent, all are stored unchanged. */
  readonly rehearsal?: Rehearsal | undefined;
}

/** Collects requests into one commit. */
export class DraftCommit {
  /** All new events, in the order of their requests. */
  readonly entries: LoggedEntry[] = [];
  /** New events and heads, by channel. */
  readonly channels = new Map<string, ChannelPart>();
  /** Latest states, by key. */
  readonly states = new Map<string, State>();
  /** Ids used for the first time. */
  readonly ids = new Map<NamedDraft, UsedId>();
  /** Rooms that limited publishers create. */
  readonly births: { readonly channel: string; readonly subject: string }[] =
    [];
  readonly #options: DraftCommitOptions;
  readonly #used: Map<string, UsedId>;

  /** Empty. */
  constructor(options: DraftCommitOptions) {
    this.#options = options;
    this.#used = new Map(options.known.ids);
  }

  /**
   * Adds one request, entirely or not at all.
   *
   * @param drafts in their order.
   */
  take(drafts: readonly Draft[]): Answer {
    const refusal = this.#conflict(drafts) ?? this.#tooManyRooms(drafts);
    if (refusal) return refusal;
    const { rehearsal } = this.#options;
    if (!rehearsal) return drafts.map((draft) => this.#place(draft));
    const judged = rehearsal.judge(drafts, (draft) => this.#isUsed(draft));
    if (judged instanceof Refusal) return judged;
    return drafts.map((draft, i) => this.#placeJudged(draft, judged[i]!));
  }

  #isUsed(draft: Draft): boolean {
    return isNamed(draft) && this.#used.has(idName(draft));
  }

  #placeJudged(
    draft: Draft,
    { before, step, stands, remarks }: Judgement,
  ): StreamPosition {
    let last: StreamPosition | undefined;
    for (const each of before) {
      last = this.#place(each.draft);
      each.placed?.(last);
    }
    if (step) {
      last = this.#place(draft, step.draft.payloadText);
      step.placed?.(last);
    } else if (stands) {
      last = stands();
    }
    const { epoch, seq } = last!;
    if (!step) this.#remember(draft, { epoch, seq });
    return {
      id: step ? last!.id : draft.id ?? last!.id,
      channel: draft.channel,
      epoch,
      seq,
      ...remarks,
    };
  }

  #conflict(drafts: readonly Draft[]): Refusal | undefined {
    const own = new Map<string, string>();
    for (const draft of drafts.filter(isNamed)) {
      const name = idName(draft);
      const digest = digestOf(draft);
      const before = this.#used.get(name)?.digest ?? own.get(name);
      if (before !== undefined && before !== digest) {
        return new Refusal(
          "ID_CONFLICT",
          `Id ${
            JSON.stringify(draft.id)
          } was used for another message in ${draft.channel}`,
        );
      }
      own.set(name, digest);
    }
  }

  #tooManyRooms(drafts: readonly Draft[]): Refusal | undefined {
    const born = new Set(drafts.map(({ channel }) => channel));
    for (const channel of born) {
      if (!this.#isBirth(channel)) born.delete(channel);
    }
    if (born.size === 0) return undefined;
    const { publisher } = drafts[0]!;
    if (!publisher) return undefined;
    const { subject, maxRooms } = publisher;
    const before = (this.#options.known.rooms.get(subject) ?? 0) +
      this.births.filter((birth) => birth.subject === subject).length;
    if (before + born.size <= maxRooms) return undefined;
    return new Refusal(
      "TOO_MANY_ROOMS",
      `A publisher may begin ${maxRooms} rooms within the retention time`,
    );
  }

  #isBirth(channel: string): boolean {
    return channel.startsWith("room:") && !this.channels.has(channel) &&
      this.#options.headOf(channel).epoch === UNBORN_EPOCH;
  }

  /** Stores `payloadText`; the id's digest is of the payload as sent. */
  #place(draft: Draft, payloadText = draft.payloadText): StreamPosition {
    const { now, nextId } = this.#options;
    const { channel, type, tags, id } = draft;
    const idKey = isNamed(draft) ? idName(draft) : undefined;
    const used = idKey === undefined ? undefined : this.#used.get(idKey);
    if (used) {
      const head = this.channels.get(channel)?.head ??
        this.#options.headOf(channel);
      const { epoch } = isOwn(head, used.epoch, used.seq) ? head : used;
      return { id: id!, channel, epoch, seq: used.seq };
    }
    const part = this.#partOf(draft);
    const { epoch } = part.head;
    const seq = part.head.seq + 1;
    part.head = { ...part.head, seq };
    const name = id ?? nextId(now);
    const json = encodeEvent(type, payloadText, { channel, seq, epoch }, {
      id: name,
      now,
    });
    const entry = { channel, epoch, seq, type, at: now, tags, json };
    this.entries.push(draft.trace ? { ...entry, trace: draft.trace } : entry);
    part.entries.push(entry);
    for (const [key, state] of statesOf(draft, json, { epoch, seq })) {
      this.states.set(key, state);
    }
    this.#remember(draft, { epoch, seq });
    return { id: name, channel, epoch, seq };
  }

  /** Makes a repeated id return this position. */
  #remember(draft: Draft, { epoch, seq }: Head): void {
    if (!isNamed(draft)) return;
    const until = this.#options.now + ID_MEMORY_MS;
    const value = { epoch, seq, digest: digestOf(draft), until };
    this.#used.set(idName(draft), value);
    this.ids.set(draft, value);
  }

  #partOf({ channel, publisher }: Draft): ChannelPart {
    const known = this.channels.get(channel);
    if (known) return known;
    if (publisher && publisher.maxRooms < Infinity && this.#isBirth(channel)) {
      this.births.push({ channel, subject: publisher.subject });
    }
    const { now, nextId, headOf } = this.#options;
    const head = headOf(channel);
    const part: ChannelPart = {
      head: head.epoch === UNBORN_EPOCH
        ? { ...head, epoch: nextId(now) }
        : head,
      entries: [],
    };
    this.channels.set(channel, part);
    return part;
  }
}
