/**
 * The verbs that need no connection, over HTTP: one frame, and its answer.
 *
 * @module
 */
import { z } from "zod";
import { COMMAND_EXAMPLES, publishExample } from "../describe/examples.ts";
import {
  commandFrame,
  eventFrame,
  publishedFrame,
  replyFrame,
} from "../describe/frames.ts";
import { pascal } from "../describe/json_schema.ts";
import { decode } from "../protocol/decode.ts";
import type { ClientFrame } from "../protocol/decode.ts";
import { encodeReply } from "../protocol/encode.ts";
import type { ReplyFrame } from "../protocol/encode.ts";
import { Refusal } from "../protocol/refusals.ts";
import { MAX_BLOCK_ANSWER_LENGTH } from "../realtime/explorer.ts";
import { MAX_ANSWER_BYTES } from "../realtime/history.ts";
import { answerTo, isQuestion, QUESTIONS } from "../realtime/questions.ts";
import type { QuestionType } from "../realtime/questions.ts";
import type { SessionParts } from "../realtime/session.ts";
import { rightsOf } from "../security/rights.ts";
import type { Gate } from "./gate.ts";
import { FRAME_REFUSALS } from "./input.ts";
import { route } from "./route.ts";
import type { Route } from "./route.ts";

/** Verbs that are answered, in the order of documents. */
const VERBS = Object.keys(QUESTIONS) as QuestionType[];

/** What the route needs. */
export interface RequestParts {
  /** Charges for what is read. */
  gate: Gate;
  /** Answers as on a socket. */
  session: SessionParts;
}

/** Declares `POST /api/request`. */
export function requestRoutes({ gate, session }: RequestParts): Route[] {
  const { maxMessageBytes, requireAuth, clock, nextId } = session;
  return [route({
    method: "post",
    path: "/api/request",
    right: "converse",
    compresses: true,
    maxAnswerBytes: Math.max(MAX_ANSWER_BYTES, MAX_BLOCK_ANSWER_LENGTH),
    body: {
      maxBytes: maxMessageBytes,
      read: (text, principal) =>
        decode(
          text,
          maxMessageBytes,
          rightsOf(() => principal, { requireAuth }),
        ),
      schema: bodySchema,
      examples: bodyExamples,
    },
    describe: () => ({
      tag: "events",
      summary: "Ask what a socket may be asked: one frame, and its answer",
      description: `For clients that no socket reaches. Takes the verbs ${
        VERBS.join(", ")
      } with the rights, checks and prices of a socket, and echoes TEST. Other verbs need a connection; messages go to /api/publish.`,
      answers: [{
        status: 200,
        description: "The frame that answers",
        schema: answerSchema(),
      }],
      refuses: [
        ...FRAME_REFUSALS,
        "FORBIDDEN",
        "STORE_UNAVAILABLE",
      ],
    }),
    async handle(c, { principal, body: frame }) {
      const answer = await answered(frame);
      const now = clock.now();
      const envelope = { id: nextId(now), now, ref: frame.id };
      const text = encodeReply({ ...answer, ...envelope } as ReplyFrame);
      return c.body(text, 200, { "content-type": "application/json" });

      async function answered(frame: ClientFrame) {
        if (frame.kind === "test") {
          return { type: "TEST", payload: frame.payload };
        }
        if (frame.kind === "publish" || !isQuestion(frame)) {
          const what = frame.kind === "publish"
            ? "Messages go to /api/publish"
            : `${frame.type} needs a connection`;
          throw new Refusal("UNKNOWN_TYPE", what, { ref: frame.id });
        }
        const reader = gate.reader(c, principal);
        return await answerTo(frame, { principal, reader }, session);
      }
    },
  })];
}

function bodySchema(): z.ZodType {
  return z.union([
    ...VERBS.map((verb) =>
      commandFrame(verb).meta({ id: `${pascal(verb)}Command` })
    ),
    publishedFrame("TEST").meta({ id: "TestMessage" }),
  ]);
}

function bodyExamples(): Record<string, unknown> {
  return {
    ...Object.fromEntries(
      VERBS.map((type) => [type, { type, payload: COMMAND_EXAMPLES[type] }]),
    ),
    // A position would be one of this service's log.
    query: { type: "query", payload: { channel: "blocks", limit: 10 } },
    TEST: publishExample("TEST"),
  };
}

function answerSchema(): z.ZodType {
  return z.union([
    ...VERBS.map((verb) =>
      replyFrame(QUESTIONS[verb]).meta({ id: `${pascal(verb)}Answer` })
    ),
    eventFrame("TEST").meta({ id: "TestAnswer" }),
  ]);
}
