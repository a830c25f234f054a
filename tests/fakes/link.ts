/**
 * A link whose mail a test holds in its hands.
 *
 * @module
 */
import type { Hint, Link } from "../../realtime/link.ts";
import type { Entry } from "../../store/entry.ts";

/** One hint on its way to one instance. */
export interface Letter {
  /** Lets it arrive; again doubles it. */
  deliver(): void;
}

/** Carries posts between fake links, each letter as the test wants it. */
export class PostOffice {
  readonly #links = new Set<FakeLink>();
  /** Takes every letter posted; delivers it at once unless replaced. */
  carry: (letter: Letter) => void = (letter) => letter.deliver();
  /** Whether receivers notice by its number that a post is missing. */
  notices = true;

  /** A new instance's end. */
  join(): FakeLink {
    const link = new FakeLink(this);
    this.#links.add(link);
    return link;
  }

  /** Addresses a post to everyone but its sender. */
  post(
    from: FakeLink,
    number: number,
    events: readonly Entry[],
  ): void {
    for (const link of this.#links) {
      if (link === from) continue;
      this.carry({
        deliver: () => link.accept(from, number, events, this.notices),
      });
    }
  }

  /** Strikes an instance off; letters on their way fall silent. */
  leave(link: FakeLink): void {
    this.#links.delete(link);
  }
}

/** One instance's end of a {@link PostOffice}. */
export class FakeLink implements Link {
  readonly #office: PostOffice;
  readonly #received = new Map<FakeLink, number>();
  #number = 0;
  #open = true;
  #listener: (hint: Hint) => void = () => {};

  /** Use {@link PostOffice.join}. */
  constructor(office: PostOffice) {
    this.#office = office;
  }

  /** Posts to all others. */
  publish(events: readonly Entry[]): void {
    if (this.#open) this.#office.post(this, ++this.#number, events);
  }

  /** Names the receiver. */
  receive(listener: (hint: Hint) => void): void {
    this.#listener = listener;
  }

  /** Leaves the office. */
  [Symbol.dispose](): void {
    this.#open = false;
    this.#office.leave(this);
  }

  /** Takes a letter, unless closed. */
  accept(
    from: FakeLink,
    number: number,
    events: readonly Entry[],
    notices: boolean,
  ): void {
    if (!this.#open) return;
    const before = this.#received.get(from) ?? 0;
    this.#received.set(from, number);
    this.#listener({ events, incomplete: notices && number !== before + 1 });
  }
}
