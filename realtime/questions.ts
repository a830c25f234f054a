/**
 * Verbs that are one query with one reply: they need no connection, so HTTP
 * serves them too.
 *
 * @module
 */
import type { Command } from "../protocol/decode.ts";
import type { ReplyPayload, ReplyType } from "../protocol/replies.ts";
import type { Principal } from "../security/principal.ts";
import type { Explorer } from "./explorer.ts";
import type { History } from "./history.ts";
import type { Reader } from "./prices.ts";

/** The queries, and the reply to each. */
export const QUESTIONS = {
  query: "query_result",
  request_data: "data_response",
  block: "block_response",
  request_metrics: "metrics_response",
} as const satisfies Partial<Record<Command["type"], ReplyType>>;

/** A verb that queries. */
export type QuestionType = keyof typeof QUESTIONS;

/** A query. */
export type Question = Extract<Command, { readonly type: QuestionType }>;

/** Its reply. */
export type Answer = {
  [Type in (typeof QUESTIONS)[QuestionType]]: {
    readonly type: Type;
    readonly payload: ReplyPayload<Type>;
  };
}[(typeof QUESTIONS)[QuestionType]];

/** Parts that answer queries. */
export interface QuestionParts {
  /** Answers queries of stored events. */
  readonly history: History;
  /** Answers queries of blocks. */
  readonly explorer: Pick<Explorer, "block">;
  /** This service's own measurements. */
  readonly measure: (
    type: string | undefined,
    principal: Principal,
  ) => Promise<Record<string, unknown>>;
}

/** The caller of a query. */
export interface Asker {
  /** Its rights. */
  readonly principal: Principal;
  /** The account charged for reads. */
  readonly reader: Reader;
}

/** Whether a command is a query. */
export function isQuestion(command: Command): command is Question {
  return command.type in QUESTIONS;
}

/**
 * Answers a query.
 *
 * @throws {Refusal} with the reason.
 */
export async function answerTo(
  { type, payload }: Question,
  { principal, reader }: Asker,
  { history, explorer, measure }: QuestionParts,
): Promise<Answer> {
  switch (type) {
    case "query":
      return {
        type: QUESTIONS[type],
        payload: await history.query(payload, principal, reader),
      };
    case "request_data": {
      const { key } = payload;
      const data = await history.latest(key, principal, reader);
      return { type: QUESTIONS[type], payload: { key, data } };
    }
    case "block":
      return {
        type: QUESTIONS[type],
        payload: await explorer.block(payload, principal, reader),
      };
    case "request_metrics": {
      const metrics = await measure(payload.type, principal);
      return { type: QUESTIONS[type], payload: { ...payload, metrics } };
    }
  }
}
