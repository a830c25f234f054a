/**
 * The seam between the log and what its events mean: before a request enters
 * the log it is judged by what the log holds already, in the log's own order.
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

/** What is read of the log to judge by it. */
export type LogSource = Pick<EventLog, "read" | "latest">;

/** An event to be stored. */
export interface Step {
  /** As it is stored. */
  readonly draft: Draft;
  /** Receives where it will stand. */
  readonly placed?: ((position: StreamPosition) => void) | undefined;
}

/** What becomes of a message. */
export interface Judgement {
  /** Events of the service itself that are stored before it. */
  readonly before: readonly Step[];
  /** How it is stored; it is not when absent. */
  readonly step?: Step | undefined;
  /**
   * Where it stands when it is not stored, since it was published before; the
   * last of `before` when absent.
   */
  readonly stands?: (() => StreamPosition) | undefined;
  /** What its publisher receives with the answer. */
  readonly remarks?: Remarks | undefined;
}

/** A try at a commit: what is judged counts only once it is settled. */
export interface Rehearsal {
  /**
   * Judges one request after those before it.
   *
   * @param drafts in their order.
   * @param isUsed whether a draft was accepted before, under its id.
   * @returns what becomes of each, or why the request is not accepted.
   */
  judge(
    drafts: readonly Draft[],
    isUsed: (draft: Draft) => boolean,
  ): readonly Judgement[] | Refusal;
  /** Set when something has to be read first: the try is void then. */
  readonly wants: ((log: LogSource) => Promise<void>) | undefined;
  /** Channels that have to be followed first: the try is void then. */
  readonly lacks: ReadonlySet<string>;
  /**
   * Channels on whose logs, as they were followed, answers rest: the commit
   * must check that they are still so.
   */
  readonly relies: ReadonlySet<string>;
  /** Whether more would be stored than this commit holds: the try is void. */
  readonly isCramped: boolean;
  /** Ends the try; nothing of it counts yet. */
  end(): void;
  /**
   * The commit took effect: what was judged counts.
   *
   * @param moves where it let the logs end that are followed.
   */
  settle(moves: ReadonlyMap<string, HeadMove>): void;
}

/** Where a log ended before a commit, and where it does with it. */
export interface HeadMove {
  /** Before. */
  readonly before: Head;
  /** With it. */
  readonly after: Head;
}

/** What a try at a commit may do. */
export interface RehearsalOptions {
  /** When events are accepted, in epoch milliseconds. */
  readonly now: number;
  /** Whether the commit would hold these events too. */
  readonly fits: (drafts: readonly Draft[]) => boolean;
  /** Whether it holds one request only, so that nothing else can give way. */
  readonly isAlone: boolean;
  /** Whether a channel was followed to where the writer knows its end. */
  readonly isFollowed: (channel: string) => boolean;
  /** Whether a channel has had an event. */
  readonly isUsed: (channel: string) => boolean;
}

/** Judges what enters the log. */
export interface Ingest {
  /** The channels whose logs it follows; only their messages are judged. */
  readonly channels: ReadonlySet<string>;
  /** Whether everything of a channel up to `head` was followed, or more. */
  has(channel: string, head: Head): boolean;
  /**
   * Follows the log of a channel up to a head.
   *
   * @param channel one of {@link channels}.
   * @param head of it.
   * @param log reads it.
   * @throws whatever the store throws.
   */
  follow(channel: string, head: Head, log: LogSource): Promise<void>;
  /** Begins a try; the one before must have ended. */
  rehearse(options: RehearsalOptions): Rehearsal;
}
