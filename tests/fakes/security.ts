/**
 * A double for the tests of the guards: a store that can be away.
 *
 * @module
 */
import { StoreBusy } from "../../store/store.ts";
import type { Commit, Key, Store } from "../../store/store.ts";

/** A KV store that a test can take away. */
export interface FlakyKv {
  /** The store as the part under test sees it. */
  readonly kv: Store;
  /** While `true`, whatever touches the store fails. */
  isAway: boolean;
  /** While `true`, commits and reads neither succeed nor fail. */
  isStuck: boolean;
  /** How many operations from now fail as if another instance held the file. */
  lockedFor: number;
  /** How many operations were begun. */
  operations: number;
  /** Lets what is stuck fail. */
  release(): void;
}

/** Wraps `real` so that it can be away; closing stays the caller's. */
export function flaky(real: Store): FlakyKv {
  let release = () => {};
  const state = { isAway: false, isStuck: false, lockedFor: 0, operations: 0 };
  async function guarded<T>(work: () => Promise<T>): Promise<T> {
    state.operations++;
    if (state.lockedFor > 0) {
      state.lockedFor--;
      throw new StoreBusy("database is locked");
    }
    if (state.isStuck) await new Promise<void>((free) => release = free);
    if (state.isAway || state.isStuck) throw new Error("KV is away");
    return await work();
  }
  const wrapAtomic = (atomic: Commit): Commit =>
    new Proxy(atomic, {
      get(target, name) {
        if (name === "commit") return () => guarded(() => target.commit());
        // deno-lint-ignore no-explicit-any -- whatever the method takes.
        return (...args: any[]) => {
          // deno-lint-ignore no-explicit-any -- chosen by name.
          (target as any)[name](...args);
          return wrapAtomic(target);
        };
      },
    });
  const kv = new Proxy(real, {
    get(target, name) {
      if (name === "get") {
        return (key: Key) => guarded(() => target.get(key));
      }
      if (name === "getMany") {
        return (keys: Key[]) => guarded(() => target.getMany(keys));
      }
      if (name === "atomic") return () => wrapAtomic(target.atomic());
      if (name === "list") {
        return (...args: Parameters<Store["list"]>) => {
          state.operations++;
          if (state.isAway) throw new Error("KV is away");
          return target.list(...args);
        };
      }
      const value = Reflect.get(target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  return Object.assign(state, { kv, release: () => release() });
}

/** Stores of several instances, which are taken away together. */
export class FlakyStores {
  readonly #opened: FlakyKv[] = [];
  #isAway = false;

  /** Whether all of them are away, those that come later too. */
  get isAway(): boolean {
    return this.#isAway;
  }

  set isAway(value: boolean) {
    this.#isAway = value;
    for (const store of this.#opened) store.isAway = value;
  }

  /** Wraps one more. */
  add(real: Store): Store {
    const store = flaky(real);
    store.isAway = this.#isAway;
    this.#opened.push(store);
    return store.kv;
  }
}
