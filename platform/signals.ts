/**
 * Signals that ask the process to end.
 *
 * @module
 */

/** Signals after which a service should end in good order. */
const NAMES = ["SIGINT", "SIGTERM"] as const;

/**
 * Listens for the signals that ask for an end, in place of `deno serve`: left to
 * itself, that stops listening and closes every socket with 1001 at once,
 * before clients receive the time to reconnect. It adds its own listeners in
 * the turn after the main module, so they are left out in this way.
 *
 * @param listener called once, for the first signal: a terminal and a task
 * runner may both pass it on. Has to end the process.
 */
export function onEndAsked(listener: (name: Deno.Signal) => void): void {
  const add = Deno.addSignalListener;
  let asked = false;
  for (const name of NAMES) {
    add(name, () => {
      if (!asked) listener(name);
      asked = true;
    });
  }
  Object.assign(Deno, {
    addSignalListener: (name: Deno.Signal, other: () => void): void => {
      if (!NAMES.some((own) => own === name)) add(name, other);
    },
  });
}
