/**
 * Who an operator is, and how an order of one is read.
 *
 * @module
 */
import type { Context } from "hono";
import type { z } from "zod";
import { Refusal } from "../protocol/refusals.ts";
import type { Gate } from "./gate.ts";
import { textOf } from "./http.ts";
import type { Env } from "./http.ts";

/** Most issues named in one refusal. */
const MAX_ISSUES = 8;

/**
 * Lets operators in.
 *
 * @returns who it is, as the security log names them.
 * @throws {Refusal} `UNAUTHENTICATED` without a token, `FORBIDDEN` with one of
 * another role, and what the gate refuses.
 */
export async function operatorOf(c: Context<Env>, gate: Gate): Promise<string> {
  const { identity } = await gate.request(c);
  if (!identity.isAuthenticated) {
    throw new Refusal("UNAUTHENTICATED", "This needs an admin's token");
  }
  if (identity.role !== "admin") {
    throw new Refusal("FORBIDDEN", "This needs the role admin");
  }
  return identity.user ?? "admin";
}

/**
 * Reads the body of an order.
 *
 * @param schema what it must look like.
 * @param maxBytes longest body accepted.
 * @throws {Refusal} `INVALID_PAYLOAD` with the issues, `INVALID_JSON`,
 * `MESSAGE_TOO_LARGE`.
 */
export async function orderOf<Schema extends z.ZodType>(
  request: Request,
  schema: Schema,
  maxBytes: number,
): Promise<z.output<Schema>> {
  let value: unknown;
  try {
    value = JSON.parse(await textOf(request, maxBytes));
  } catch (error) {
    if (error instanceof Refusal) throw error;
    throw new Refusal("INVALID_JSON", "Body is not JSON", { cause: error });
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new Refusal("INVALID_PAYLOAD", "Body does not match", {
    issues: result.error.issues.slice(0, MAX_ISSUES).map((
      { path, message },
    ) => ({ path: path.join("."), message })),
  });
}
