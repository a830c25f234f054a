/**
 * Limits that no schema expresses: a parsed value must be storable and
 * deliverable without any change.
 *
 * @module
 */
import type { Issue } from "./refusals.ts";

/** Deepest nesting of objects and arrays in a frame. */
export const MAX_DEPTH = 32;

/**
 * Finds the first part that would be lost or harmful later: nesting beyond
 * {@link MAX_DEPTH}, prototype keys, lone surrogates, numbers that a double
 * cannot hold, values that JSON does not have.
 *
 * @param value what a parser returned.
 * @param isJson whether that parser was `JSON.parse`, whose objects need not be
 * asked for their prototype.
 * @returns the first issue, or nothing.
 */
export function unsoundness(
  value: unknown,
  isJson: boolean,
): Issue | undefined {
  const fault = inspect(value, 0, isJson);
  return fault && { path: fault.path.join("."), message: fault.message };
}

/** A fault; its path is written on the way back up, so valid values cost nothing. */
interface Fault {
  readonly path: (string | number)[];
  readonly message: string;
}

const fault = (message: string): Fault => ({ path: [], message });

function at(key: string | number, inner: Fault): Fault {
  inner.path.unshift(key);
  return inner;
}

function inspect(
  value: unknown,
  depth: number,
  isJson: boolean,
): Fault | undefined {
  if (typeof value === "string") {
    if (value.isWellFormed()) return undefined;
    return fault("holds a lone surrogate, which is not Unicode text");
  }
  if (typeof value === "number") {
    if (Number.isSafeInteger(value)) return undefined;
    if (Number.isFinite(value) && !Number.isInteger(value)) return undefined;
    return fault("cannot be kept exactly as a number; send it as a string");
  }
  if (typeof value === "boolean" || value === null) return undefined;
  if (typeof value !== "object") return fault("is not a JSON value");
  if (depth === MAX_DEPTH) return fault(`nests deeper than ${MAX_DEPTH}`);
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      const inner = inspect(value[i], depth + 1, isJson);
      if (inner) return at(i, inner);
    }
    return undefined;
  }
  if (!isJson && Object.getPrototypeOf(value) !== Object.prototype) {
    return fault("is not a JSON value");
  }
  // Its prototype adds no enumerable keys.
  for (const key in value) {
    if (key === "__proto__" || !key.isWellFormed()) {
      return fault("has a key that is not allowed");
    }
    const field = (value as Record<string, unknown>)[key];
    const inner = inspect(field, depth + 1, isJson);
    if (inner) return at(key, inner);
  }
  return undefined;
}
