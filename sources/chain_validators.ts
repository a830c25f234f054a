/**
 * Block producers of a simulated chain: validators that join, propose, vote,
 * are rewarded or fined, and leave.
 *
 * @module
 */
import type { Event, PayloadOf } from "../protocol/messages.ts";
import { rounded, STEPS_PER_BLOCK } from "./chain_story.ts";
import type { Story } from "./chain_story.ts";

/** What the proposer of a block gets besides its fees, in grains. */
export const BLOCK_SUBSIDY = 2_000_000n;
/** Fewest validators; none leaves below that. */
export const MIN_VALIDATORS = 5;
/** Least stake of a validator, in grains; with less it has to leave. */
const MIN_STAKE = 500_000_000n;
const VALIDATORS = 12;

/** A block producer. */
export interface Validator {
  /** Its name. */
  readonly id: string;
  /** In grains. */
  stake: bigint;
  /** Whether it takes part now. */
  active: boolean;
  /** Blocks it made. */
  proposed: number;
  /** Blocks of others that it voted for. */
  voted: number;
  /** Missed turns, and fines. */
  missed: number;
  /** Height from which it may join again. */
  awayUntil: number;
}

/** All validators, active or not. */
export class Validators {
  readonly #story: Story;
  readonly #all = new Map<string, Validator>();

  /** Gives stakes; none is active before the first block. */
  constructor(story: Story) {
    this.#story = story;
    for (let i = 1; i <= VALIDATORS; i++) {
      const id = `validator_${String(i).padStart(2, "0")}`;
      const first = i <= VALIDATORS - 4;
      this.#all.set(id, {
        id,
        stake: story.grains(2_000, 20_000) * 1_000_000n,
        active: false,
        proposed: 0,
        voted: 0,
        missed: 0,
        awayUntil: first ? 0 : story.between(20, 200),
      });
    }
  }

  /** Continues from what was published of validators, oldest first. */
  resume(events: readonly Event<"VALIDATOR_EVENT">[]): void {
    for (const { payload } of events) {
      const { validatorId, eventType, stake, metadata, blockHeight } = payload;
      const validator = this.#all.get(validatorId);
      if (!validator) continue;
      validator.active = eventType !== "LEFT";
      if (stake !== undefined) validator.stake = BigInt(stake);
      validator.proposed = metadata?.proposedBlocks ?? validator.proposed;
      validator.missed = metadata?.missedBlocks ?? validator.missed;
      const votes = metadata?.["votes"];
      if (typeof votes === "number") validator.voted = votes;
      validator.awayUntil = (blockHeight ?? 0) + this.#story.between(10, 60);
    }
  }

  /** One of the active by stake; one that misses its turn is noted. */
  chooseProposer(height: number): Validator {
    let active = this.#active();
    while (active.length < MIN_VALIDATORS) {
      const next = [...this.#all.values()].filter((validator) =>
        !validator.active
      ).sort((a, b) => a.awayUntil - b.awayUntil)[0]!;
      this.#admit(next, height);
      active = this.#active();
    }
    const first = this.#drawn(active);
    if (!this.#story.chance(0.02)) return first;
    first.missed++;
    return this.#drawn(active.filter((validator) => validator !== first));
  }

  /** Notes that a validator made a block. */
  credit(proposer: Validator, height: number): void {
    proposer.proposed++;
    this.#emit("PROPOSED", proposer, height);
  }

  /** Others vote for a block before the next one. */
  follow(proposer: Validator, height: number): void {
    const voters = this.#active().filter(({ id }) => id !== proposer.id);
    const votes = Math.min(voters.length, this.#story.between(2, 4));
    for (let i = 0; i < votes; i++) {
      const [voter] = voters.splice(
        this.#story.between(0, voters.length - 1),
        1,
      );
      this.#story.later(2 + i + this.#story.between(0, 1), () => {
        if (!voter!.active) return;
        voter!.voted++;
        this.#emit("VOTED", voter!, height);
      });
    }
  }

  /**
   * Pays the maker of a block that can no longer be reverted.
   *
   * @param fees of its transactions, in grains.
   */
  reward(proposer: Validator, height: number, fees: bigint): void {
    this.#story.later(STEPS_PER_BLOCK - 2, () => {
      if (!proposer.active) return;
      const reward = fees + BLOCK_SUBSIDY;
      proposer.stake += reward;
      this.#emit("REWARDED", proposer, height, { reward: String(reward) });
    });
  }

  /**
   * At most one joins, leaves or is fined in a step, and usually none.
   *
   * @param height of the newest block.
   */
  move(height: number): void {
    const away = [...this.#all.values()].find((validator) =>
      !validator.active && validator.awayUntil <= height
    );
    if (away) {
      this.#admit(away, height);
      return;
    }
    const active = this.#active();
    if (this.#story.chance(0.0004)) {
      this.#slash(this.#story.pick(active), height);
    } else if (
      active.length > MIN_VALIDATORS && this.#story.chance(0.0006)
    ) this.#dismiss(this.#story.pick(active), height);
  }

  #active(): Validator[] {
    return [...this.#all.values()].filter(({ active }) => active);
  }

  #drawn(validators: readonly Validator[]): Validator {
    const all = validators.reduce((sum, { stake }) => sum + stake, 0n);
    let rest = BigInt(Math.floor(this.#story.random() * 1e9)) * all /
      1_000_000_000n;
    return validators.find(({ stake }) => (rest -= stake) < 0n) ??
      validators.at(-1)!;
  }

  #admit(validator: Validator, height: number): void {
    if (validator.stake < 2n * MIN_STAKE) {
      validator.stake = this.#story.grains(2_000, 9_000) * 1_000_000n;
    }
    validator.active = true;
    this.#emit("JOINED", validator, height);
  }

  #slash(validator: Validator, height: number): void {
    const penalty = validator.stake * this.#story.grains(1, 5) / 100n;
    validator.stake -= penalty;
    validator.missed++;
    this.#emit("SLASHED", validator, height, { penalty: String(penalty) });
    this.#story.alert("validator_slashed", validator.id, {
      severity: "warning",
      message:
        `${validator.id} was fined ${penalty} grains at height ${height}`,
    });
    if (
      validator.stake < MIN_STAKE && this.#active().length > MIN_VALIDATORS
    ) this.#dismiss(validator, height);
  }

  #dismiss(validator: Validator, height: number): void {
    validator.active = false;
    validator.awayUntil = height + this.#story.between(20, 120);
    this.#emit("LEFT", validator, height);
  }

  #emit(
    eventType: PayloadOf<"VALIDATOR_EVENT">["eventType"],
    { id, stake, proposed, voted, missed }: Validator,
    blockHeight: number,
    amounts: { reward?: string; penalty?: string } = {},
  ): void {
    const done = proposed + voted;
    const turns = done + missed;
    // The others may happen again at a height, after a reorganisation.
    const when = eventType === "REWARDED"
      ? String(blockHeight)
      : `${blockHeight}:${this.#story.now}`;
    this.#story.emit(
      "VALIDATOR_EVENT",
      `validator:${id}:${eventType}:${when}`,
      {
        eventType,
        validatorId: id,
        stake: String(stake),
        timestamp: this.#story.instant,
        blockHeight,
        ...amounts,
        metadata: {
          uptime: turns === 0 ? 100 : rounded(100 * done / turns),
          proposedBlocks: proposed,
          missedBlocks: missed,
          votes: voted,
        },
      },
    );
  }
}
