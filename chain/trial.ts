/**
 * What the judges of one try at a commit share: steps that count once it took
 * effect, and what they found.
 *
 * @module
 */
import type { Draft, Missing } from "../store/event_log.ts";
import type { HeadMove, RehearsalOptions, Step } from "../store/ingest.ts";
import type { Payload } from "./chain_events.ts";
import type { UndoLog } from "./undo_log.ts";

/** What was found wrong with a chain that a publisher reports. */
export type ChainFault =
  /** Blocks are missing before one, or what was final is reverted. */
  | {
    readonly type: "blocks_missing" | "finality_broken";
    /** The chain; `""`: the default one. */
    readonly chain: string;
    /** The message at which it was found. */
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
    /** What was published. */
    readonly status: string;
    /** What stood before. */
    readonly before: string;
  };

/** A step that counts for what was folded of a channel. */
interface Done {
  readonly channel: string;
  readonly step: () => void;
}

/** One try. */
export class Trial {
  /** What it may do. */
  readonly options: RehearsalOptions;
  /** Channels that have to be followed first: the try is void. */
  readonly lacks: Set<string> = new Set();
  /** Channels on whose logs answers rest. */
  readonly relies: Set<string> = new Set();
  /** Whether more would be stored than the commit holds: the try is void. */
  isCramped = false;
  readonly #touched = new Set<UndoLog>();
  readonly #steps: Done[] = [];
  readonly #faults: ChainFault[] = [];
  readonly #added: Draft[] = [];

  /** Has tried nothing. */
  constructor(options: RehearsalOptions) {
    this.options = options;
  }

  /** What was found wrong. */
  get faults(): readonly ChainFault[] {
    return this.#faults;
  }

  /** Makes a step, to be undone with the try. */
  do(channel: string, undoLog: UndoLog, step: () => void): void {
    if (!this.#touched.has(undoLog)) {
      this.#touched.add(undoLog);
      undoLog.begin();
    }
    step();
    this.later(channel, step);
  }

  /** Makes a step only once the commit took effect. */
  later(channel: string, step: () => void): void {
    this.#steps.push({ channel, step });
  }

  /** Reports a fault once the commit took effect. */
  report(fault: ChainFault): void {
    this.#faults.push(fault);
  }

  /** Whether the commit holds these too; others may have to give way. */
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
   * @returns the message as it came when one commit does not hold the mark.
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
   * Whether everything of a channel was followed; otherwise the try is void,
   * and made again once it was.
   */
  follows(channel: string): boolean {
    if (this.options.isFollowed(channel)) return true;
    this.lacks.add(channel);
    return false;
  }

  /** Marks the present. @returns goes back to it. */
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

  /** Undoes all. */
  end(): void {
    for (const undoLog of this.#touched) undoLog.end();
  }

  /**
   * Makes for good the steps of channels of which they are the next.
   *
   * @param moves where the commit let channels end.
   * @param isNext whether that is so.
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
