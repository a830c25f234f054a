/**
 * Edits of a filter's values, as the service does them on a socket.
 *
 * @module
 */
import { RefusedError } from "./http_requests.ts";
import type { ReplyPayload } from "../protocol/replies.ts";

/** Most values of one filter. */
export const MAX_FILTER_VALUES = 1_000;
/** Longest value of a filter, in characters. */
export const MAX_TAG_LENGTH = 256;
/** Most characters of a refused item that the answer repeats. */
const MAX_ECHO_LENGTH = 128;

type Clause = Readonly<Record<string, string | readonly string[]>>;

/** What an edit asks for. */
export interface Edit {
  /** The field whose values are edited; needed when there are several. */
  readonly field?: string;
  /** Values to add. */
  readonly add?: readonly string[];
  /** Values to remove. */
  readonly remove?: readonly string[];
}

/** What becomes of it. */
export interface Edited {
  /** The filter with the edit. */
  readonly filter: Clause;
  /** The filter of what was added alone. */
  readonly missed: Clause;
  /** The answer, but for the position. */
  readonly answer: Omit<ReplyPayload<"watched">, "as" | "from">;
}

/**
 * Edits a filter of one clause.
 *
 * @throws {RefusedError} `INVALID_SUBSCRIPTION` where there is no such field.
 */
export function edited(
  before: object,
  { field, add = [], remove = [] }: Edit,
): Edited {
  const { any: [clause, another] = [before as Clause] } = before as {
    any?: Clause[];
  };
  if (another) throw refused("a filter of several clauses cannot be edited");
  const fields = Object.keys(clause!);
  const name = field ?? (fields.length === 1 ? fields[0]! : "");
  if (!fields.includes(name)) {
    throw refused(`field: expected one of ${fields.join(", ")}`);
  }
  const old = [clause![name]!].flat() as string[];
  const rejected: { item: string; code: "INVALID_PAYLOAD" }[] = [];
  const known = (items: readonly string[]) =>
    [...new Set(items)].filter((item) => {
      if (item !== "" && item.length <= MAX_TAG_LENGTH) return true;
      const cut = item.slice(0, MAX_ECHO_LENGTH);
      rejected.push({ item: cut, code: "INVALID_PAYLOAD" });
      return false;
    });
  // The service compares addresses in lower case, however they are written.
  const named = new Set(known(remove).flatMap((it) => [it, it.toLowerCase()]));
  const isRemoved = (value: string) =>
    named.has(value) || named.has(value.toLowerCase());
  const added = known(add).filter((value) => !old.includes(value));
  const removed = old.filter((value) =>
    isRemoved(value) && !add.includes(value)
  );
  const values = [...old.filter((it) => !removed.includes(it)), ...added];
  const others = fields.filter((each) => each !== name)
    .flatMap((each) => clause![each]!).length;
  const size = others + values.length;
  if (size > MAX_FILTER_VALUES) {
    throw refused(`a filter has at most ${MAX_FILTER_VALUES} values`);
  }
  return {
    filter: { ...clause, [name]: values },
    missed: { ...clause, [name]: added },
    answer: { field: name, added, removed, rejected, size },
  };
}

/** A refusal of an edit. */
export function refused(message: string): RefusedError {
  return new RefusedError({ code: "INVALID_SUBSCRIPTION", message });
}
