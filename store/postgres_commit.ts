/**
 * The builder of a commit to the store in PostgreSQL.
 *
 * @module
 */
import { encodeKey, encodeValue } from "./postgres_keys.ts";
import type { ValueKind } from "./postgres_keys.ts";
import { hexOf } from "./postgres_params.ts";
import type {
  Check,
  Commit,
  CommitResult,
  Key,
  SetOptions,
  StoreLimits,
} from "./store.ts";

/**
 * Its limits: those of Deno KV, so that the layers above need not distinguish
 * stores.
 */
export const POSTGRES_LIMITS: StoreLimits = {
  keyBytes: 2_048,
  valueBytes: 65_536,
  commitBytes: 819_200,
  commitKeyBytes: 81_920,
  commitMutations: 1_000,
  commitChecks: 100,
  getManyKeys: 100,
  watchKeys: 10,
};

/** The parts of a commit. */
export interface CommitParts {
  /** Conditions: states of keys that must be unchanged. */
  readonly checks: readonly Check[];
  /** Values written; `ms` is the lifetime, `null` without an end. */
  readonly sets: readonly {
    readonly name: Uint8Array;
    readonly bytes: Uint8Array;
    readonly kind: ValueKind;
    readonly ms: number | null;
  }[];
  /** Amounts added to counters. */
  readonly sums: readonly { readonly name: Uint8Array; readonly by: bigint }[];
  /** Encoded keys that are deleted. */
  readonly deletes: readonly Uint8Array[];
  /** The announcement to listeners of all instances. */
  readonly announcement: string | null;
}

/** The last mutation of one key in a commit. */
type Mutation =
  | { readonly set: CommitParts["sets"][number] }
  | { readonly sum: CommitParts["sums"][number] }
  | { readonly delete: Uint8Array };

/** A commit being built, with an announcement. */
export class PostgresCommit implements Commit {
  readonly #make: (parts: CommitParts) => Promise<CommitResult>;
  readonly #checks: Check[] = [];
  readonly #mutations = new Map<string, Mutation>();
  #announcement: string | null = null;
  #bytes = 0;
  #keyBytes = 0;
  #count = 0;

  /** Use {@link PostgresStore.atomic}. */
  constructor(make: (parts: CommitParts) => Promise<CommitResult>) {
    this.#make = make;
  }

  check(...checks: readonly Check[]): this {
    this.#checks.push(...checks);
    for (const { key } of checks) this.#named(key);
    return this;
  }

  set(key: Key, value: unknown, { expireIn }: SetOptions = {}): this {
    const [bytes, kind] = encodeValue(value);
    if (bytes.byteLength > POSTGRES_LIMITS.valueBytes) {
      throw new TypeError(
        `Value too large (max ${POSTGRES_LIMITS.valueBytes} bytes)`,
      );
    }
    const ms = expireIn === undefined ? null : Math.ceil(expireIn);
    const name = this.#mutated(key);
    this.#bytes += bytes.byteLength;
    this.#mutations.set(hexOf(name), { set: { name, bytes, kind, ms } });
    return this;
  }

  delete(key: Key): this {
    const name = this.#mutated(key);
    this.#mutations.set(hexOf(name), { delete: name });
    return this;
  }

  sum(key: Key, by: bigint): this {
    const name = this.#mutated(key);
    const hex = hexOf(name);
    const before = this.#mutations.get(hex);
    if (before && !("sum" in before)) {
      throw new TypeError("A key is set and added to in one commit");
    }
    this.#mutations.set(hex, {
      sum: { name, by: BigInt.asUintN(64, by + (before?.sum.by ?? 0n)) },
    });
    return this;
  }

  /**
   * Notifies the listeners of all instances, this one too, when it succeeds.
   *
   * @param text at most {@link MAX_ANNOUNCEMENT_BYTES}.
   */
  announce(text: string): this {
    this.#announcement = text;
    return this;
  }

  async commit(): Promise<CommitResult> {
    const { commitBytes, commitKeyBytes, commitMutations, commitChecks } =
      POSTGRES_LIMITS;
    if (this.#checks.length > commitChecks) {
      throw new TypeError(`Too many checks (max ${commitChecks})`);
    }
    if (this.#count > commitMutations) {
      throw new TypeError(`Too many mutations (max ${commitMutations})`);
    }
    if (this.#keyBytes > commitKeyBytes || this.#bytes > commitBytes) {
      throw new TypeError(`Commit too large (max ${commitBytes} bytes)`);
    }
    const all = [...this.#mutations.values()];
    return await this.#make({
      checks: this.#checks,
      sets: all.flatMap((it) => "set" in it ? [it.set] : []),
      sums: all.flatMap((it) => "sum" in it ? [it.sum] : []),
      deletes: all.flatMap((it) => "delete" in it ? [it.delete] : []),
      announcement: this.#announcement,
    });
  }

  #named(key: Key): Uint8Array {
    const name = encodeKey(key);
    if (name.byteLength > POSTGRES_LIMITS.keyBytes) {
      throw new TypeError(
        `Key too large (max ${POSTGRES_LIMITS.keyBytes} bytes)`,
      );
    }
    this.#keyBytes += name.byteLength;
    this.#bytes += name.byteLength;
    return name;
  }

  #mutated(key: Key): Uint8Array {
    this.#count++;
    return this.#named(key);
  }
}
