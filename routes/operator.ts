/**
 * What the operators' routes share: who gives an order, and how its answer
 * looks when it takes something back.
 *
 * @module
 */
import { z } from "zod";
import type { Answer } from "../describe/openapi.ts";
import type { Principal } from "../security/principal.ts";

/** The operator, as the security log names it. */
export function nameOf({ identity }: Principal): string {
  return identity.user ?? "admin";
}

/** The answers of a route that takes something back, if it is there. */
export function removal(removed: string, absent: string): readonly Answer[] {
  return [
    {
      status: 200,
      description: removed,
      schema: z.looseObject({ removed: z.literal(true) }),
    },
    {
      status: 404,
      description: absent,
      schema: z.looseObject({ removed: z.literal(false) }),
    },
  ];
}
