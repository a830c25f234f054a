/**
 * Which idempotency keys were used, for what, and where that came to stand:
 * `["id", channel, publisher, id]`.
 *
 * @module
 */
import { crc32 } from "node:zlib";
import type { Clock } from "../platform/clock.ts";
import type { Draft, Head } from "./event_log.ts";
import type { Commit, Key, Store } from "./store.ts";

/** How long a publisher's `id` is remembered, in milliseconds. */
export const ID_MEMORY_MS = 600_000;

/** What was published under an `id`. */
export interface UsedId extends Head {
  /** Of the type and payload: the same id for something else is a conflict. */
  readonly digest: string;
  /** When it is forgotten, in epoch milliseconds. */
  readonly until: number;
}

/** A draft with an idempotency key. */
export type NamedDraft = Draft & { readonly id: string };

/** Whether the publisher chose an `id`. */
export function isNamed(draft: Draft): draft is NamedDraft {
  return draft.id !== undefined;
}

/** Text that stands for a publisher's `id` in a channel. */
export function idName({ channel, publisher, id }: NamedDraft): string {
  return JSON.stringify([channel, publisher?.subject, id]);
}

/** The bytes of the subject and the id that {@link remember} puts in a key. */
export function idKeyBytes({ publisher, id = "" }: Draft): number {
  return 3 * (publisher?.subject.length ?? 0) + id.length;
}

/** What distinguishes two messages under one `id`. */
export function digestOf({ type, payloadText }: Draft): string {
  return `${type}.${payloadText.length}.${crc32(payloadText)}`;
}

/** Has a commit remember an `id`. */
export function remember(
  commit: Commit,
  draft: NamedDraft,
  used: UsedId,
): void {
  commit.set(keyOf(draft), used, { expireIn: ID_MEMORY_MS });
}

/**
 * Reads which ids were used already.
 *
 * @param store where they are stored.
 * @param clock decides which are forgotten.
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
          // `expireIn` is the earliest time of deletion, not the time.
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
