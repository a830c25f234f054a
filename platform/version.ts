/**
 * Version of the service, apart from the protocol's.
 *
 * @module
 */

/** Semantic version; CHANGELOG.md lists what is in it. */
export const SERVICE_VERSION = "1.0.0";
