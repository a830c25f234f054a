/**
 * The protocol's schemas as data.
 *
 * @module
 */
import { z } from "zod";
import { COMMANDS } from "./commands.ts";
import { MESSAGES } from "./messages.ts";
import { REPLIES } from "./replies.ts";

/** Offset basis of the 64-bit FNV-1a hash. */
const FNV_BASIS = 0xcbf29ce484222325n;
/** Prime of the 64-bit FNV-1a hash. */
const FNV_PRIME = 0x100000001b3n;

/**
 * A fingerprint of every schema: a client that was built against another one
 * can detect that the protocol changed.
 *
 * @returns 16 hexadecimal digits: 64-bit FNV-1a over the JSON Schemas.
 * @see {@link https://datatracker.ietf.org/doc/html/rfc9923}
 */
export function schemaHash(): string {
  const payloads = Object.entries(MESSAGES)
    .map(([type, { payload }]) => [type, payload] as const);
  const schemas = [
    ...payloads,
    ...Object.entries(COMMANDS),
    ...Object.entries(REPLIES),
  ].map(([type, schema]) => [
    type,
    z.toJSONSchema(schema, {
      io: "input",
      unrepresentable: "any",
      // Descriptions do not affect validation.
      override: ({ jsonSchema }) => void delete jsonSchema.description,
    }),
  ]);
  let hash = FNV_BASIS;
  for (const byte of new TextEncoder().encode(JSON.stringify(schemas))) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * FNV_PRIME);
  }
  return hash.toString(16).padStart(16, "0");
}
