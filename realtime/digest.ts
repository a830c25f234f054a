/**
 * Short digests of long texts, for a header that holds hundreds of them.
 *
 * @module
 */

/** base64url: safe in a header and in a query. */
const ALPHABET =
  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const VALUES = new Map([...ALPHABET].map((digit, value) => [digit, value]));
/** Length of a digest: 24 bits. */
const DIGEST_LENGTH = 4;
/** Bits of a number in one digit; the sixth bit marks that more digits follow. */
const DIGIT_BITS = 5;
const MORE = 1 << DIGIT_BITS;

/**
 * A digest of 24 bits: FNV-1a of 32 bits, folded. Two epochs of one channel
 * share it once in 16 million.
 *
 * @param text ASCII.
 * @returns four characters of base64url.
 * @see {@link https://datatracker.ietf.org/doc/html/draft-eastlake-fnv}
 */
export function digestOf(text: string): string {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  }
  let rest = (hash >>> 24) ^ (hash & 0xffffff);
  let digest = "";
  for (let i = 0; i < DIGEST_LENGTH; i++, rest >>>= 6) {
    digest += ALPHABET[rest & 63];
  }
  return digest;
}

/** Prefix of a digest in place of an epoch; no epoch starts with it. */
export const EPOCH_DIGEST = "~";

/**
 * Resolves the epoch of a position, given in full or as a digest.
 *
 * @param claimed an epoch, or {@link EPOCH_DIGEST} and its digest.
 * @param known epochs that a digest may match.
 * @returns `claimed` itself when it is not a digest of these.
 */
export function epochFrom(claimed: string, known: readonly string[]): string {
  if (!claimed.startsWith(EPOCH_DIGEST)) return claimed;
  const digest = claimed.slice(EPOCH_DIGEST.length);
  return known.find((epoch) => digestOf(epoch) === digest) ?? claimed;
}

/**
 * Writes a number in as few digits as possible, with its end marked.
 *
 * @param value a safe integer from 0.
 */
export function digitsOf(value: number): string {
  let digits = "";
  let rest = value;
  while (rest >= MORE) {
    digits += ALPHABET[MORE | (rest % MORE)];
    rest = Math.floor(rest / MORE);
  }
  return digits + ALPHABET[rest];
}

/**
 * Reads a number written by {@link digitsOf}.
 *
 * @param at its start in `text`.
 * @returns the number and its end; nothing when there is no number.
 */
export function numberIn(
  text: string,
  at: number,
): { value: number; end: number } | undefined {
  let value = 0;
  for (let end = at, scale = 1; end < text.length; scale *= MORE) {
    const digit = VALUES.get(text[end++]!);
    if (digit === undefined) return;
    value += (digit % MORE) * scale;
    if (!Number.isSafeInteger(value)) return;
    if (digit < MORE) return { value, end };
  }
  return undefined;
}
