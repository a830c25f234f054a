/**
 * The fields around every payload.
 *
 * @module
 */
import * as z from "zod";

/** Semantic version of the protocol that this server uses. */
export const VERSION = "1.1.0";

/** Subprotocol a client may offer on the upgrade. */
export const SUBPROTOCOL = "kaldrix.v1";

/** 1 to 128 visible ASCII characters. */
const ID = /^[\x21-\x7e]{1,128}$/;

/**
 * A frame's name: the publisher's idempotency key, or what a reply's `ref`
 * names. 1 to 128 visible ASCII characters.
 */
export const Id = z.string().regex(
  ID,
  "expected 1 to 128 visible ASCII characters",
);

/** Whether `value` may name a frame; without zod, because it runs for each frame. */
export function isId(value: unknown): value is string {
  return typeof value === "string" && ID.test(value);
}

/** Semantic version, without build or pre-release parts. */
export const Version = z.string().regex(
  /^\d{1,4}\.\d{1,6}\.\d{1,6}$/,
  'expected a version such as "1.0.0"',
);

/** Envelope fields that a client may set. */
export const clientFields = {
  id: Id.optional().describe(
    "Chosen by the sender; a reply repeats it as `ref`.",
  ),
  timestamp: z.iso.datetime({ offset: true }).optional().describe(
    "When it was sent; the server replaces it by its own time.",
  ),
  version: Version.optional().describe("Semantic version of the protocol."),
} as const;

/** Envelope fields that the server sets. */
export const serverFields = {
  id: z.string().describe(
    "Unique; on events the publisher's own id where it chose one.",
  ),
  timestamp: z.iso.datetime().describe("When the server accepted or wrote it."),
  version: Version.describe("Semantic version of the protocol."),
} as const;

/** Crockford's base 32, which sorts as text. */
const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/** Number of values of a name's last two characters. */
const PAIRS = 32 * 32;

function base32(value: number, length: number): string {
  let text = "";
  for (let rest = value; text.length < length; rest = Math.floor(rest / 32)) {
    text = ALPHABET[rest % 32] + text;
  }
  return text;
}

/**
 * Makes a source of unique, sortable names of 26 characters, in the shape of a
 * ULID: ten characters of time, eight that name the source, eight of a counter.
 *
 * @param random uniform in [0, 1); names the source.
 * @returns a function from epoch milliseconds to the next name.
 * @see {@link https://github.com/ulid/spec}
 */
export function idSource(
  random: () => number = Math.random,
): (now: number) => string {
  const name = base32(Math.floor(random() * 32 ** 8), 8);
  const pairs = Array.from({ length: PAIRS }, (_, i) => base32(i, 2));
  let count = 0;
  let latest = -1;
  let prefix = "";
  return (now) => {
    const pair = count % PAIRS;
    // Most names differ from the previous one only in their last characters.
    if (now > latest || pair === 0) {
      latest = Math.max(now, latest);
      prefix = base32(latest, 10) + name +
        base32(Math.floor(count / PAIRS) % 32 ** 6, 6);
    }
    count++;
    return prefix + pairs[pair];
  };
}
