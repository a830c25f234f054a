/**
 * How the store says that another writer was faster.
 *
 * @module
 */

/** Whether another writer holds the file: nothing was done. */
export function isBusy(error: unknown): boolean {
  return error instanceof Error && error.message.includes("locked");
}
