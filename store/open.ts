/**
 * Which store stands at an address.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";
import { openStore } from "./deno_kv.ts";
import type { Store } from "./store.ts";
import { fileWitness, NO_WITNESS } from "./witness.ts";
import type { Witness } from "./witness.ts";

/** Whether `address` names a PostgreSQL database. */
export function isDatabase(address: string | undefined): boolean {
  return address !== undefined && /^postgres(ql)?:/.test(address);
}

/** The file at an address; nothing when the store is no file at a known place. */
function fileAt(address: string | undefined): string | undefined {
  const isFile = address && !/^(?:https?|postgres(?:ql)?):/.test(address) &&
    address !== ":memory:";
  return isFile ? address : undefined;
}

/**
 * The folder in which processes that share the store's file notify each other.
 *
 * @param address as `KV_PATH` has it.
 * @returns nothing when the store is no file at a known place.
 */
export function bellsOf(address: string | undefined): string | undefined {
  const file = fileAt(address);
  return file && `${file}.bells`;
}

/**
 * The file beside the store that says how far it came; see `continuity.ts`.
 *
 * @param address as `KV_PATH` has it.
 * @returns nothing when the store is no file at a known place.
 */
export function witnessOf(address: string | undefined): string | undefined {
  const file = fileAt(address);
  return file && `${file}.witness`;
}

/**
 * What can be written beside the store at an address.
 *
 * @param address as `KV_PATH` has it.
 */
export function witnessAt(address: string | undefined): Witness {
  const file = witnessOf(address);
  return file === undefined ? NO_WITNESS : fileWitness(file);
}

/**
 * Opens the store at an address: PostgreSQL for `postgres:`, Deno KV for
 * everything else.
 *
 * @param address as `KV_PATH` has it; Deno's own place when absent.
 * @param options time, for deadlines.
 * @throws what cannot be opened, in its own words.
 */
export async function openStoreAt(
  address: string | undefined,
  options: { readonly clock: Pick<Clock, "after"> },
): Promise<Store> {
  if (!isDatabase(address)) return await openStore(address, options);
  // Loaded only where it is used: served code stays light.
  const { openPostgres } = await import("./postgres.ts");
  return await openPostgres(address!, options);
}
