/**
 * Channel patterns, as tokens carry them: a name, with `*` either at the very
 * end (`room:team-*`: whatever follows) or as a whole segment between colons
 * (`room:*:chat`: exactly one segment). Matched in one pass over the name,
 * never by a regular expression made from a token's text.
 *
 * @module
 */

/** Longest channel pattern, in characters. */
export const MAX_PATTERN_LENGTH = 128;
/** Most channel patterns a token may carry, for reading and for publishing each. */
export const MAX_PATTERNS = 100;

const LETTERS = /^[A-Za-z0-9_.:*-]+$/;

/**
 * Whether `text` is a pattern: 1 to {@link MAX_PATTERN_LENGTH} characters of a
 * channel's name, with `*` only where it is allowed.
 *
 * @param text the pattern in the token.
 */
export function isPattern(text: unknown): text is string {
  if (typeof text !== "string") return false;
  if (text.length > MAX_PATTERN_LENGTH || !LETTERS.test(text)) return false;
  const segments = text.split(":");
  return segments.every((segment, i) => {
    const star = segment.indexOf("*");
    if (star === -1 || segment === "*") return true;
    return i === segments.length - 1 && star === segment.length - 1;
  });
}

/**
 * Whether `pattern` covers `name`. A `*` at the end covers any rest, further
 * segments and the empty rest included; a `*` between colons covers one
 * segment that is not empty.
 *
 * @param pattern one that {@link isPattern} accepts.
 * @param name a channel's canonical name.
 */
export function matches(pattern: string, name: string): boolean {
  let at = 0;
  for (let i = 0; i < pattern.length; i++) {
    if (pattern[i] !== "*") {
      if (pattern[i] !== name[at]) return false;
      at++;
    } else if (i === pattern.length - 1) {
      return true;
    } else {
      const start = at;
      while (at < name.length && name[at] !== ":") at++;
      if (at === start) return false;
    }
  }
  return at === name.length;
}
