/**
 * Sets of functions that are called one by one, where the fault of one does
 * not keep the others from being called.
 *
 * @module
 */

/** Functions that take the same argument. */
export type Listeners<T> = Set<(argument: T) => void>;

/** Calls every listener of a set, or those that `isFor` chooses. */
export type Call = <T>(
  listeners: Listeners<T> | undefined,
  argument: T,
  isFor?: (listener: object) => boolean,
) => void;

/**
 * Adds a listener.
 *
 * @returns a function that removes it.
 */
export function add<T>(listeners: Set<T>, listener: T): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

/**
 * Makes a `call` that catches what listeners throw.
 *
 * @param onError receives the first error of each listener.
 */
export function caller(onError: (error: unknown) => void): Call {
  const faulty = new WeakSet<object>();
  return (listeners, argument, isFor) => {
    for (const listener of listeners ?? []) {
      if (isFor?.(listener) === false) continue;
      try {
        listener(argument);
      } catch (error) {
        if (!faulty.has(listener)) onError(error);
        faulty.add(listener);
      }
    }
  };
}
