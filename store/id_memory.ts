/**
 * The used idempotency keys, with the digest and the position of their events:
 * `["id", channel, publisher, id]`.
 *
 * @module
 */
import { crc32 } from "node:zlib";
import type { Clock } from "../platform/clock.ts";
import type { Draft, Head } from "./event_log.ts";
import type { Commit, Key, Store } from "./store.ts";

/** How long a publisher's `id` is stored, in milliseconds. */
export const ID_MEMORY_MS = 600_000;

/** The event published with an `id`. */
export interface UsedId extends Head {
  /** Of type and payload: the same id for another message is a conflict. */
  readonly digest: string;
  /** When it expires, in epoch milliseconds. */
  readonly until: number;
}

/** A draft with an idempotency key. */
export type NamedDraft = Draft & { readonly id: string };

/** Whether the publisher chose an `id`. */
export function isNamed(draft: Draft): draft is NamedDraft {
  return draft.id !== undefined;
}

/** A text that identifies a publisher's `id` in a channel. */
export function idName({ channel, publisher, id }: NamedDraft): string {
  return JSON.stringify([channel, publisher?.subject, id]);
}

/** The bytes of the subject and the id that {@link remember} puts in a key. */
export function idKeyBytes({ publisher, id = "" }: Draft): number {
  return 3 * (publisher?.subject.length ?? 0) + id.length;
}

/** A digest that distinguishes two messages with the same `id`. */
export function digestOf({ type, payloadText }: Draft): string {
  return `${type}.${payloadText.length}.${crc32(payloadText)}`;
}

/** Adds an `id` to a commit. */
export function remember(
  commit: Commit,
  draft: NamedDraft,
  used: UsedId,
): void {
  commit.set(keyOf(draft), used, { expireIn: ID_MEMORY_MS });
}

/**
 * Reads the ids that are already used.
 *
 * @param store holds them.
 * @param clock decides which have expired.
 * @param drafts any; those without an `id` are ignored.
 * @returns by {@link idName}.
 */
export async function usedIds(
  store: Store,
  clock: Pick<Clock, "now">,
  drafts: readonly Draft[],
): Promise<Map<string, UsedId>> {
  const used = new Map<string, UsedId>();
  const named = drafts.filter(isNamed);
  const { getManyKeys } = store.limits;
  const reads: Promise<void>[] = [];
  for (let i = 0; i < named.length; i += getManyKeys) {
    const some = named.slice(i, i + getManyKeys);
    reads.push(
      store.getMany<UsedId>(some.map(keyOf)).then((entries) => {
        for (const [j, { value }] of entries.entries()) {
          // `expireIn` is the earliest time of deletion, not the exact time.
          if (!value || value.until <= clock.now()) continue;
          used.set(idName(some[j]!), value);
        }
      }),
    );
  }
  await Promise.all(reads);
  return used;
}

function keyOf({ channel, publisher, id }: NamedDraft): Key {
  return ["id", channel, publisher?.subject ?? "", id];
}
