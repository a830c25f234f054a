/**
 * The stores on which the tests run what every store carries.
 *
 * @module
 */
import { systemClock } from "../../platform/clock.ts";
import { idSource } from "../../protocol/envelope.ts";
import { openStore } from "../../store/deno_kv.ts";
import type { Store } from "../../store/store.ts";
import { StoredEventLog } from "../../store/stored_event_log.ts";
import { closeStore } from "../close_store.ts";
import { ManualClock } from "../fakes/clock.ts";
import { MemoryKv } from "../fakes/kv.ts";
import { FlakyStores } from "../fakes/security.ts";
import { openTogether, versions } from "./databases.ts";

/** An empty store, and a clock that stands at the beginning of an hour. */
export interface OpenedStore extends AsyncDisposable {
  /** Time of those who use it; a store's own deadlines are real. */
  readonly clock: ManualClock;
  /** Connects one more of them. */
  connect(): Store;
}

/** Opens empty stores, by kind. */
export const STORES: Readonly<Record<string, () => Promise<OpenedStore>>> = {
  async "Deno KV in memory"() {
    const store = await openStore(":memory:");
    return {
      clock: new ManualClock(),
      connect: () => store,
      [Symbol.asyncDispose]: () => closeStore(store),
    };
  },
  // A watch does not reach across connections to a file, polls do.
  async "Deno KV in a file"() {
    const directory = await Deno.makeTempDir();
    const open = () => openStore(`${directory}/kv`);
    return shared(
      [await open(), await open()],
      () => Deno.remove(directory, { recursive: true }),
    );
  },
  ...Object.fromEntries(
    versions.map(({ name }) => [
      `PostgreSQL ${name}`,
      async () => shared(await openTogether(name, 2)),
    ]),
  ),
  MemoryKv() {
    const clock = new ManualClock();
    const kv = new MemoryKv(clock);
    return Promise.resolve({
      clock,
      connect: () => kv.connect(),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    });
  },
};

/** Where members of one store join, which a test can take away from all. */
export async function openFlaky<Arguments extends unknown[], Member>(
  open: () => Promise<OpenedStore>,
  member: (
    parts: { readonly kv: Store; readonly clock: ManualClock },
    ...more: Arguments
  ) => Member,
): Promise<
  & { readonly clock: ManualClock; isAway: boolean }
  & { join(...more: Arguments): Member }
  & AsyncDisposable
> {
  const { clock, connect, ...opened } = await open();
  const stores = new FlakyStores();
  return {
    clock,
    get isAway() {
      return stores.isAway;
    },
    set isAway(value) {
      stores.isAway = value;
    },
    join: (...more) => member({ kv: stores.add(connect()), clock }, ...more),
    [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
  };
}

/** How many random histories are tried: opening a database takes long. */
export function runsOn(name: string): { readonly runs?: number } {
  return name.startsWith("PostgreSQL") ? { runs: 8 } : {};
}

/** Connections in turn. */
function shared(
  stores: readonly Store[],
  remove = () => Promise.resolve(),
): OpenedStore {
  let connected = 0;
  return {
    clock: new ManualClock(),
    connect: () => stores[connected++ % stores.length]!,
    async [Symbol.asyncDispose]() {
      for (const store of stores) await closeStore(store);
      await remove();
    },
  };
}

/** Opens a log that keeps more than any contract writes. */
export function openLog(store: Store): StoredEventLog {
  return new StoredEventLog({
    store,
    clock: systemClock,
    nextId: idSource(),
    retention: () => ({ events: 10_000, ms: 3_600_000 }),
  });
}
