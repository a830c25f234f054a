/**
 * Verbs that are one question with one answer: they need no connection, so
 * they are answered over HTTP, too.
 *
 * @module
 */
import type { Command } from "../protocol/decode.ts";
import type { ReplyPayload, ReplyType } from "../protocol/replies.ts";
import type { Principal } from "../security/principal.ts";
import type { Explorer } from "./explorer.ts";
import type { History } from "./history.ts";
import type { Reader } from "./prices.ts";

/** The questions, and what answers each. */
export const QUESTIONS = {
  query: "query_result",
  request_data: "data_response",
  block: "block_response",
  request_metrics: "metrics_response",
} as const satisfies Partial<Record<Command["type"], ReplyType>>;

/** A verb that asks. */
export type QuestionType = keyof typeof QUESTIONS;

/** A question. */
export type Question = Extract<Command, { readonly type: QuestionType }>;

/** What answers it. */
export type Answer = {
  [Type in (typeof QUESTIONS)[QuestionType]]: {
    readonly type: Type;
    readonly payload: ReplyPayload<Type>;
  };
}[(typeof QUESTIONS)[QuestionType]];

/** Who knows the answers. */
export interface QuestionParts {
  /** Answers questions about the past. */
  readonly history: History;
  /** Answers what a block is. */
  readonly explorer: Pick<Explorer, "block">;
  /** This service's own measurements. */
  readonly measure: (
    type: string | undefined,
    principal: Principal,
  ) => Promise<Record<string, unknown>>;
}

/** Who asks. */
export interface Asker {
  /** Whose rights count. */
  readonly principal: Principal;
  /** Who pays for what is read. */
  readonly reader: Reader;
}

/** Whether a command is a question. */
export function isQuestion(command: Command): command is Question {
  return command.type in QUESTIONS;
}

/**
 * Answers a question.
 *
 * @throws {Refusal} why it is not answered.
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
