/**
 * Which store stands at an address.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";
import { openStore } from "./deno_kv.ts";
import type { Store } from "./store.ts";
import { guarded, StoreFile } from "./store_file.ts";
import type { StoreFileOptions } from "./store_file.ts";
import { fileWitness, NO_WITNESS } from "./witness.ts";
import type { Witness } from "./witness.ts";

/** Whether `address` names a PostgreSQL database. */
export function isDatabase(address: string | undefined): boolean {
  return address !== undefined && /^postgres(ql)?:/.test(address);
}

/** Whether the store at `address` is reached over the network. */
export function isRemote(address: string | undefined): boolean {
  return isDatabase(address) || /^https?:/.test(address ?? "");
}

/** The file at an address; nothing when the store is no file at a known place. */
function fileAt(address: string | undefined): string | undefined {
  const isFile = address && !isRemote(address) && address !== ":memory:";
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
 * The file beside the store that records how far it got; see `continuity.ts`.
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
 * Makes sure that a store can be opened in the file at an address.
 *
 * @param address as `KV_PATH` has it.
 * @param options how to look at it.
 * @returns nothing when the store is no file at a known place.
 * @throws {PlaceError} with what is wrong with the place.
 */
export async function placeAt(
  address: string | undefined,
  options: StoreFileOptions,
): Promise<StoreFile | undefined> {
  const file = fileAt(address);
  return file === undefined ? undefined : await StoreFile.open(file, options);
}

/**
 * Opens the store at an address: PostgreSQL for `postgres:`, Deno KV for
 * everything else.
 *
 * @param address as `KV_PATH` has it; Deno's own place when absent.
 * @param options time, for deadlines.
 * @throws {PlaceError} when no store can be at the place of a file.
 * @throws what cannot be opened, in its own words.
 */
export async function openStoreAt(
  address: string | undefined,
  options: { readonly clock: Pick<Clock, "after" | "monotonic"> },
): Promise<Store> {
  const place = await placeAt(address, options);
  if (place) return guarded(await openStore(address, options), place);
  if (!isDatabase(address)) return await openStore(address, options);
  // Loaded only where it is used: served code stays light.
  const { openPostgres } = await import("./postgres.ts");
  return await openPostgres(address!, options);
}
