/**
 * The seam between the log and the meaning of its events: before a request
 * enters the log it is judged against the events in the log, in the log's order.
 * `chain/ingest.ts` judges blocks, transactions and nodes of the DAG.
 *
 * @module
 */
import type { Refusal } from "../protocol/refusals.ts";
import type {
  Draft,
  EventLog,
  Head,
  Remarks,
  StreamPosition,
} from "./event_log.ts";

/** The parts of the log that judging reads. */
export type LogSource = Pick<EventLog, "read" | "latest">;

/** An event to be stored. */
export interface Step {
  /** The event as stored. */
  readonly draft: Draft;
  /** Receives its position. */
  readonly placed?: ((position: StreamPosition) => void) | undefined;
}

/** The decision about a message. */
export interface Judgement {
  /** Events of the service itself to store before it. */
  readonly before: readonly Step[];
  /** The event to store; absent when it is not stored. */
  readonly step?: Step | undefined;
  /**
   * The position of an event that is not stored, because it was published
   * before; the last of `before` when absent.
   */
  readonly stands?: (() => StreamPosition) | undefined;
  /** Fields of the publisher's reply. */
  readonly remarks?: Remarks | undefined;
}

/** A trial of a commit: its decisions apply only once it is settled. */
export interface Rehearsal {
  /**
   * Judges one request after the earlier ones.
   *
   * @param drafts in their order.
   * @param isUsed whether a draft was accepted before, with the same id.
   * @returns the decision about each, or the refusal of the request.
   */
  judge(
    drafts: readonly Draft[],
    isUsed: (draft: Draft) => boolean,
  ): readonly Judgement[] | Refusal;
  /** Set when the log must be read first: the trial is void then. */
  readonly wants: ((log: LogSource) => Promise<void>) | undefined;
  /** Channels that must be followed first: the trial is void then. */
  readonly lacks: ReadonlySet<string>;
  /**
   * Channels on whose followed logs the decisions depend: the commit must check
   * that these logs have not changed.
   */
  readonly relies: ReadonlySet<string>;
  /** Whether the events exceed this commit's limits: the trial is void. */
  readonly isCramped: boolean;
  /** Ends the trial, without applying it. */
  end(): void;
  /**
   * Applies the decisions, because the commit succeeded.
   *
   * @param moves the ends of the followed logs after it.
   */
  settle(moves: ReadonlyMap<string, HeadMove>): void;
}

/** The end of a log before and after a commit. */
export interface HeadMove {
  /** The end before the commit. */
  readonly before: Head;
  /** The end after the commit. */
  readonly after: Head;
}

/** Options of a trial. */
export interface RehearsalOptions {
  /** When events are accepted, in epoch milliseconds. */
  readonly now: number;
  /** Whether the commit would hold these events too. */
  readonly fits: (drafts: readonly Draft[]) => boolean;
  /** Whether the commit holds one request only. */
  readonly isAlone: boolean;
  /** Whether a channel was followed to the end that the writer knows. */
  readonly isFollowed: (channel: string) => boolean;
  /** Whether a channel has had an event. */
  readonly isUsed: (channel: string) => boolean;
}

/** Judges messages before they enter the log. */
export interface Ingest {
  /** The channels whose logs it follows; only their messages are judged. */
  readonly channels: ReadonlySet<string>;
  /** Whether a channel was followed to `head` or beyond. */
  has(channel: string, head: Head): boolean;
  /**
   * Follows the log of a channel up to a head.
   *
   * @param channel one of {@link channels}.
   * @param head the end to reach.
   * @param log reads it.
   * @throws errors of the store.
   */
  follow(channel: string, head: Head, log: LogSource): Promise<void>;
  /** Starts a trial; the previous one must have ended. */
  rehearse(options: RehearsalOptions): Rehearsal;
}
