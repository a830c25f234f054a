/**
 * The library that draws lines, in a bundle of its own: a page is there before
 * its charts are.
 *
 * @module
 */
export { default } from "uplot";
