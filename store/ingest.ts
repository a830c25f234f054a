/**
 * The seam between the log and what its events mean: before a request enters
 * the log it is judged by what the log says already, in the log's own order.
 * `chain/ingest.ts` judges blocks.
 *
 * @module
 */
import type { Refusal } from "../protocol/refusals.ts";
import type {
  Draft,
  EventLog,
  Head,
  Missing,
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
  /** What its publisher is told to publish too. */
  readonly missing?: Missing | undefined;
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
  /**
   * Whether an answer rests on the log as it was followed though nothing new
   * was stored for it: the commit must check that the log is still so.
   */
  readonly relies: boolean;
  /** Whether more would be stored than this commit holds: the try is void. */
  readonly isCramped: boolean;
  /** Ends the try; nothing of it counts yet. */
  end(): void;
  /**
   * The commit took effect: what was judged counts.
   *
   * @param head where the log that is followed ends with it.
   */
  settle(head: Head): void;
}

/** What a try at a commit may do. */
export interface RehearsalOptions {
  /** When events are accepted, in epoch milliseconds. */
  readonly now: number;
  /** Whether the commit would hold these events too. */
  readonly fits: (drafts: readonly Draft[]) => boolean;
  /** Whether it holds one request only, so that nothing else can give way. */
  readonly isAlone: boolean;
}

/** Judges what enters the log. */
export interface Ingest {
  /** The channel whose log it follows; only its messages are judged. */
  readonly channel: string;
  /** Whether everything up to `head` was followed. */
  isAt(head: Head): boolean;
  /**
   * Follows the log up to a head.
   *
   * @param head of {@link channel}.
   * @param log reads it.
   * @throws whatever the store throws.
   */
  follow(head: Head, log: LogSource): Promise<void>;
  /** Begins a try; the one before must have ended. */
  rehearse(options: RehearsalOptions): Rehearsal;
}
