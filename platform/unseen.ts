/**
 * Characters that are invisible or disguise text.
 *
 * @module
 */

/**
 * Controls but tabs and line breaks, marks of direction, and spaces without
 * width. They could disguise a line, or give orders to the terminal of its
 * reader.
 *
 * @see {@link https://www.unicode.org/reports/tr9/#Directional_Formatting_Characters}
 */
export const UNSEEN =
  // deno-lint-ignore no-control-regex -- they are what is looked for.
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;
