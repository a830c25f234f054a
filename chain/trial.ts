/**
 * The shared state of the judges of one trial of a commit: the steps that apply
 * once it succeeds, and the faults they found.
 *
 * @module
 */
import type { Draft, Missing } from "../store/event_log.ts";
import type { HeadMove, RehearsalOptions, Step } from "../store/ingest.ts";
import type { Payload } from "./chain_events.ts";
import type { UndoLog } from "./undo_log.ts";

/** A fault of a chain that a publisher reports. */
export type ChainFault =
  /** Blocks are missing below one, or a final block is reverted. */
  | {
    readonly type: "blocks_missing" | "finality_broken";
    /** The chain; `""`: the default one. */
    readonly chain: string;
    /** The message with the fault. */
    readonly blockId: string;
    /** Its height. */
    readonly height: number;
    /** Heights that are unknown. */
    readonly missing?: Missing | undefined;
  }
  /** A status cannot follow the one before it. */
  | {
    readonly type: "status_contradicted";
    /** The chain; `""`: the default one. */
    readonly chain: string;
    /** The transaction. */
    readonly txId: string;
    /** The published status. */
    readonly status: string;
    /** The status before it. */
    readonly before: string;
  };

/** A step that changes the fold of a channel. */
interface Done {
  readonly channel: string;
  readonly step: () => void;
}

/** One trial. */
export class Trial {
  /** Its limits. */
  readonly options: RehearsalOptions;
  /** Channels that must be followed first: the trial is void. */
  readonly lacks: Set<string> = new Set();
  /** Channels on whose logs the answers depend. */
  readonly relies: Set<string> = new Set();
  /** Whether the events exceed the commit's limits: the trial is void. */
  isCramped = false;
  readonly #touched = new Set<UndoLog>();
  readonly #steps: Done[] = [];
  readonly #faults: ChainFault[] = [];
  readonly #added: Draft[] = [];

  /** Empty. */
  constructor(options: RehearsalOptions) {
    this.options = options;
  }

  /** The faults found. */
  get faults(): readonly ChainFault[] {
    return this.#faults;
  }

  /** Makes a step, which is undone with the trial. */
  do(channel: string, undoLog: UndoLog, step: () => void): void {
    if (!this.#touched.has(undoLog)) {
      this.#touched.add(undoLog);
      undoLog.begin();
    }
    step();
    this.later(channel, step);
  }

  /** Makes a step only once the commit succeeds. */
  later(channel: string, step: () => void): void {
    this.#steps.push({ channel, step });
  }

  /** Reports a fault once the commit succeeds. */
  report(fault: ChainFault): void {
    this.#faults.push(fault);
  }

  /**
   * Whether the commit can hold these too. If only other requests prevent that,
   * the trial is void and the result is `true`.
   */
  fits(drafts: readonly Draft[]): boolean {
    const { fits, isAlone } = this.options;
    if (fits([...this.#added, ...drafts])) return true;
    if (isAlone) return false;
    this.isCramped = true;
    return true;
  }

  /**
   * A message as it is stored with a mark of the service.
   *
   * @param payload with the mark.
   * @returns the message without the mark when one commit cannot hold the mark.
   */
  marked(draft: Draft, payload: Payload): Draft {
    const marked = { ...draft, payloadText: JSON.stringify(payload) };
    if (!this.fits([marked])) return draft;
    this.#added.push(marked);
    return marked;
  }

  /** Stores events of the service itself. */
  add(steps: readonly Step[]): readonly Step[] {
    this.#added.push(...steps.map(({ draft }) => draft));
    return steps;
  }

  /**
   * Whether a channel was followed to its end; otherwise the trial is void, and
   * repeated once it was.
   */
  follows(channel: string): boolean {
    if (this.options.isFollowed(channel)) return true;
    this.lacks.add(channel);
    return false;
  }

  /** Marks the current state. @returns a function that restores it. */
  mark(): () => void {
    const steps = new Map([...this.#touched].map((it) => [it, it.steps]));
    const lengths = [this.#steps, this.#faults, this.#added]
      .map((list) => [list, list.length] as const);
    return () => {
      for (const undoLog of this.#touched) {
        undoLog.undo(steps.get(undoLog) ?? 0);
      }
      for (const [list, length] of lengths) list.length = length;
    };
  }

  /** Undoes all steps. */
  end(): void {
    for (const undoLog of this.#touched) undoLog.end();
  }

  /**
   * Applies the steps of each channel for which they are the next ones.
   *
   * @param moves ends of channels after the commit.
   * @param isNext whether a channel's events are the next ones.
   */
  settle(
    moves: ReadonlyMap<string, HeadMove>,
    isNext: (channel: string, move: HeadMove) => boolean,
  ): void {
    const counting = new Set<string>();
    for (const [channel, move] of moves) {
      if (isNext(channel, move)) counting.add(channel);
    }
    for (const { channel, step } of this.#steps) {
      if (counting.has(channel)) step();
    }
  }
}
