/**
 * Messages for the doors that take them, and what these answer.
 */
import assert from "node:assert/strict";
import { REFUSALS } from "../../protocol/refusals.ts";
import type { RefusalCode } from "../../protocol/refusals.ts";
import { REPLIES } from "../../protocol/replies.ts";
import type { Accepted } from "../../protocol/replies.ts";
import type { TestService } from "../test_service.ts";

/** A block that any node might publish. */
export const block = (height: number) => ({
  type: "NEW_BLOCK",
  payload: {
    blockId: `block_${height}`,
    height,
    timestamp: "2025-08-07T10:00:00Z",
  },
});

/** Posts `body`, as JSON unless it is text already. */
export function publish(
  service: TestService,
  body: unknown,
  token?: string,
): Promise<Response> {
  return service.request("/api/publish", {
    method: "POST",
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
}

/** Checks that `response` is a refusal with `code` and its status. */
export async function refusedWith(
  response: Response,
  code: RefusalCode,
): Promise<{ message: string; issues?: { path: string }[] }> {
  const body = await response.json();
  assert.equal(body.code, code, JSON.stringify(body));
  assert.equal(response.status, REFUSALS[code].http);
  assert.match(response.headers.get("content-type")!, /^application\/json/);
  REPLIES.error.parse(body);
  return body;
}

/** Checks that `response` accepts what was published, and reads where it is. */
export async function accepted(response: Response): Promise<Accepted[]> {
  const body = await response.json();
  assert.equal(response.status, 200, JSON.stringify(body));
  return REPLIES.published.parse(body).accepted;
}

/** Reads one page of the blocks' history. */
export async function history(service: TestService, query: string): Promise<{
  seqs: number[];
  more: boolean;
}> {
  const response = await service.request(
    `/api/channels/blocks/history${query}`,
  );
  assert.equal(response.status, 200);
  const { events, more } = REPLIES.query_result.parse(await response.json());
  return { seqs: events.map(({ seq }) => seq as number), more };
}
