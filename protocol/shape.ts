/**
 * Validation at a cost that is bounded by the size of a frame, for invalid
 * frames too.
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

/** Makes zod stop at the first issue; an undeclared option of zod. */
const FIRST_ISSUE = { abortEarly: true } as z.core.ParseContext<
  z.core.$ZodIssue
>;

/** The schema of a frame, compiled. */
export class Shape<Value = unknown> {
  readonly #schema: z.ZodType<Value>;
  /** Stops at the first issue, without naming it. */
  readonly #parse: (value: unknown) => Value | typeof z.INVALID;

  /** Compiles `schema`. */
  constructor(schema: z.ZodType<Value>) {
    this.#schema = schema;
    this.#parse = z.core.compileFn(schema);
  }

  /**
   * Checks a value.
   *
   * @param refuse receives the issues, at least one: up to
   * {@link MAX_ISSUES} issues in the first items of each list and fields
   * of each object, or the first issue of what that leaves out.
   * @returns the value as the schema parses it.
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
 * Resolves an issue to its causes. For a union these are the issues of the
 * alternative most likely intended: one of the value's own kind, with the
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

/** Whether an alternative is for another type than the value's. */
function isOfAnotherKind({ code, path }: z.core.$ZodIssue): boolean {
  return code === "invalid_type" && path.length === 0;
}

/** A copy whose lists and objects are cut short enough to name all issues. */
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
