/**
 * Input of a request: arguments of its query and path, and orders in its body.
 * Unknown and repeated arguments are refused, as unknown keys are.
 *
 * @module
 */
import { z } from "zod";
import { Refusal } from "../protocol/refusals.ts";
import type { Issue, RefusalCode } from "../protocol/refusals.ts";
import type { Principal } from "../security/principal.ts";

/** Most issues named in one refusal. */
const MAX_ISSUES = 8;
/** Longest name of an argument that a refusal repeats, in characters. */
const MAX_NAME_LENGTH = 64;

/** How a frame in a body is refused, whatever its type. */
export const FRAME_REFUSALS = [
  "INVALID_JSON",
  "INVALID_MESSAGE",
  "UNKNOWN_TYPE",
  "INVALID_PAYLOAD",
  "UNKNOWN_CHANNEL",
  "UNSUPPORTED_VERSION",
  "MESSAGE_TOO_LARGE",
] as const satisfies readonly RefusalCode[];

/** `epoch:seq`, or a bare number. */
const POSITION = /^(?:([0-9A-Za-z]{1,64}):)?(\d{1,15})$/;

/** How the body of a request is read. */
export interface BodyReader<Body> {
  /** Longest body accepted, in bytes. */
  readonly maxBytes: number;
  /**
   * Whether it is kept in memory until the store has answered: then it takes
   * room among those of all callers.
   */
  readonly waits?: true;
  /**
   * Checks the text and converts it to the handler's input. The sender's rights
   * are checked before the content.
   * @throws {Refusal} when it does not match.
   */
  readonly read: (text: string, principal: Principal) => Body;
  /** What it must look like, for documents; made when first asked for. */
  readonly schema: () => z.ZodType;
  /** Bodies that are accepted, by name. */
  readonly examples: () => Readonly<Record<string, unknown>>;
}

/**
 * A whole number in a query.
 *
 * @param least smallest one accepted, from 0.
 * @param most largest one accepted, below 1,000,000.
 */
export function wholeNumber(
  least: number,
  most: number,
): z.ZodPreprocess<z.ZodInt> {
  const error = `expected a whole number from ${least} to ${most}`;
  return z.preprocess(
    (text) => /^\d{1,6}$/.test(String(text)) ? Number(text) : text,
    z.int({ error }).min(least, { error }).max(most, { error }),
  );
}

/** A position in a query; without an epoch it counts in the present log. */
export interface BarePosition {
  /** Identity of the log. */
  readonly epoch: string | undefined;
  /** A number in it. */
  readonly seq: number;
}

/** A position in a query: `epoch:seq`, or a number. */
export function position(
  description: string,
  example: string,
): z.ZodOptional<z.ZodType<BarePosition, string>> {
  return z.string().regex(POSITION, "expected epoch:seq, or a number")
    .transform((text): BarePosition => {
      const [, epoch, seq] = POSITION.exec(text)!;
      return { epoch, seq: Number(seq) };
    }).optional().meta({ description, example });
}

/**
 * Reads the arguments of a query.
 *
 * @param url of the request.
 * @param schema the arguments there are; none when omitted.
 * @param code of the refusal.
 * @throws {Refusal} naming the first argument that is unknown, repeated or
 * wrong.
 */
export function queryOf(
  url: string,
  schema: z.ZodObject | undefined,
  code: RefusalCode,
): Record<string, unknown> {
  const at = url.indexOf("?");
  const given = new URLSearchParams(at < 0 ? "" : url.slice(at + 1));
  const known = Object.keys(schema?.shape ?? {});
  const values = new Map<string, string>();
  for (const [name, value] of given) {
    if (!known.includes(name)) {
      const message = known.length === 0
        ? "is not known: there are none"
        : `is not known: there are ${known.join(", ")}`;
      throw badArgument(code, name, message);
    }
    if (values.has(name)) throw badArgument(code, name, "is there twice");
    values.set(name, value);
  }
  if (!schema) return {};
  const result = schema.safeParse(Object.fromEntries(values));
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw badArgument(code, issue!.path.join("."), issue!.message);
}

/**
 * Reads the arguments of a path.
 *
 * @throws {Refusal} `INVALID_PAYLOAD`.
 */
export function argumentsOf(
  given: Readonly<Record<string, string>>,
  schema: z.ZodObject | undefined,
): Record<string, unknown> {
  if (!schema) return {};
  const result = schema.safeParse(given);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw badArgument(
    "INVALID_PAYLOAD",
    issue!.path.join("."),
    issue!.message,
    "Path",
  );
}

function badArgument(
  code: RefusalCode,
  name: string,
  message: string,
  place = "Query",
): Refusal {
  const path = name.slice(0, MAX_NAME_LENGTH);
  return new Refusal(code, `${place} argument ${path}: ${message}`, {
    issues: [{ path, message }],
  });
}

/**
 * The body of an order: JSON that matches a schema.
 *
 * @param schema what it must look like.
 * @param maxBytes longest body accepted.
 * @param examples bodies that are accepted, by name.
 */
export function order<Schema extends z.ZodType>(
  schema: Schema,
  maxBytes: number,
  examples: Readonly<Record<string, unknown>>,
): BodyReader<z.output<Schema>> {
  return {
    maxBytes,
    schema: () => schema,
    examples: () => examples,
    read(text) {
      const result = schema.safeParse(jsonOf(text));
      if (result.success) return result.data;
      throw new Refusal("INVALID_PAYLOAD", "Body does not match", {
        issues: result.error.issues.slice(0, MAX_ISSUES).map(issueOf),
      });
    },
  };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Refusal("INVALID_JSON", "Body is not JSON", { cause });
  }
}

function issueOf(
  { path, message }: { path: PropertyKey[]; message: string },
): Issue {
  return { path: path.join("."), message };
}
