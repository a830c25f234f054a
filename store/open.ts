/**
 * Opens the store at an address.
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

/** The file at an address; nothing for other stores or an unknown path. */
function fileAt(address: string | undefined): string | undefined {
  const isFile = address && !isRemote(address) && address !== ":memory:";
  return isFile ? address : undefined;
}

/**
 * The folder in which processes that share the store's file notify each other.
 *
 * @param address as `KV_PATH` has it.
 * @returns nothing for other stores or an unknown path.
 */
export function bellsOf(address: string | undefined): string | undefined {
  const file = fileAt(address);
  return file && `${file}.bells`;
}

/**
 * The file beside the store that records its progress; see `continuity.ts`.
 *
 * @param address as `KV_PATH` has it.
 * @returns nothing for other stores or an unknown path.
 */
export function witnessOf(address: string | undefined): string | undefined {
  const file = fileAt(address);
  return file && `${file}.witness`;
}

/**
 * The witness beside the store at an address.
 *
 * @param address as `KV_PATH` has it.
 */
export function witnessAt(address: string | undefined): Witness {
  const file = witnessOf(address);
  return file === undefined ? NO_WITNESS : fileWitness(file);
}

/**
 * Verifies that a store can be opened in the file at an address.
 *
 * @param address as `KV_PATH` has it.
 * @param options how to inspect it.
 * @returns nothing for other stores or an unknown path.
 * @throws {PlaceError} with the reason.
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
 * @throws {PlaceError} when no store can be opened at the path of a file.
 * @throws the error of opening.
 */
export async function openStoreAt(
  address: string | undefined,
  options: { readonly clock: Pick<Clock, "after" | "monotonic"> },
): Promise<Store> {
  const place = await placeAt(address, options);
  if (place) return guarded(await openStore(address, options), place);
  if (!isDatabase(address)) return await openStore(address, options);
  // Loaded only when used, for a fast cold start.
  const { openPostgres } = await import("./postgres.ts");
  return await openPostgres(address!, options);
}
