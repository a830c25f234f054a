/**
 * Validation at a cost that is bounded by the size of a frame, whatever is
 * wrong with it.
 *
 * @module
 */
import { z } from "zod";
import type { Issue } from "./refusals.ts";

/** Most issues named in one refusal. */
export const MAX_ISSUES = 16;
/**
 * Fields of an object that are checked for issues: more than any message or
 * command declares.
 */
const MAX_FIELDS = 64;

/** Has zod stop at the first issue; it is not among its declared options. */
const FIRST_ISSUE = { abortEarly: true } as z.core.ParseContext<
  z.core.$ZodIssue
>;

/** What a frame must look like. */
export class Shape<Value = unknown> {
  readonly #schema: z.ZodType<Value>;
  /** Gives up at the first issue, without naming it. */
  readonly #parse: (value: unknown) => Value | typeof z.INVALID;

  /** Compiles `schema`. */
  constructor(schema: z.ZodType<Value>) {
    this.#schema = schema;
    this.#parse = z.core.compileFn(schema);
  }

  /**
   * Checks a value.
   *
   * @param refuse is called with what is wrong, never empty: up to
   * {@link MAX_ISSUES} issues in the first items of each list and fields
   * of each object, or the first issue of what that leaves out.
   * @returns what the schema makes of it.
   */
  check(value: unknown, refuse: (issues: Issue[]) => never): Value {
    const parsed = this.#parse(value);
    if (parsed !== z.INVALID) return parsed;
    const few = this.#schema.safeParse(shortened(value));
    if (few.error) return refuse(named(few.error, MAX_ISSUES));
    const whole = this.#schema.safeParse(value, FIRST_ISSUE);
    return whole.error ? refuse(named(whole.error, 1)) : whole.data;
  }
}

function named({ issues }: z.ZodError, most: number): Issue[] {
  return issues.flatMap((issue) => inside(issue)).slice(0, most);
}

/**
 * What an issue comes down to. Of a union that is what is wrong by the
 * alternative that was meant: one of the kind that the value is, with the
 * fewest issues.
 */
function inside(
  issue: z.core.$ZodIssue,
  above: readonly PropertyKey[] = [],
): Issue[] {
  const path = [...above, ...issue.path];
  const alternatives = issue.code === "invalid_union" ? issue.errors : [];
  const meant = alternatives.filter((found) => !found.some(isOfAnotherKind))
    .toSorted((a, b) => a.length - b.length)[0];
  if (meant) return meant.flatMap((found) => inside(found, path));
  const kinds = alternatives.flat().filter((found) =>
    found.code === "invalid_type"
  ).map(({ expected }) => expected);
  const message = kinds.length === 0
    ? issue.message
    : `Invalid input: expected ${[...new Set(kinds)].join(" or ")}`;
  return [{ path: path.join("."), message }];
}

/** Whether the value as a whole is of a type that an alternative is not for. */
function isOfAnotherKind({ code, path }: z.core.$ZodIssue): boolean {
  return code === "invalid_type" && path.length === 0;
}

/** A copy in which lists and objects hold few enough to name all issues. */
function shortened(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.slice(0, MAX_ISSUES).map(shortened);
  const few: Record<string, unknown> = {};
  let fields = 0;
  for (const key in value) {
    if (++fields > MAX_FIELDS) break;
    few[key] = shortened((value as Record<string, unknown>)[key]);
  }
  return few;
}
