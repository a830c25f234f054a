import assert from "node:assert/strict";
import type { OperatorApi } from "../../../client/admin/api.ts";
import { List, PAGE_ROWS } from "../../../client/admin/list.ts";
import { until } from "../../until.ts";

/** A list whose service answers when the test releases it. */
function setup() {
  const asked: { path: string; answer: PromiseWithResolvers<unknown> }[] = [];
  const api = {
    get(path: string) {
      const answer = Promise.withResolvers<unknown>();
      asked.push({ path, answer });
      return answer.promise;
    },
  } as unknown as OperatorApi;
  const list = new List<string>(api, {
    name: "rooms",
    sort: { by: "followers", isDescending: true },
    onChange: () => {},
  });
  const answer = (rows: string[], next: string | null = null, at = -1) => {
    const page = { rooms: rows, total: 9, matched: rows.length, next };
    asked.at(at)!.answer.resolve(page);
  };
  const query = () =>
    Object.fromEntries(
      new URL(asked.at(-1)!.path, "http://h").searchParams,
    );
  return { list, asked, answer, query };
}

Deno.test("List asks for its page, the next and the one before", async () => {
  const { list, asked, answer, query } = setup();
  const reading = list.refresh();
  assert.deepEqual(query(), {
    limit: String(PAGE_ROWS),
    sort: "followers",
    order: "desc",
  });
  answer(["a"], "cursor1");
  await reading;
  assert.deepEqual([list.rows, list.before], [["a"], 0]);
  list.turn(1);
  await until(() => asked.length === 2, "the next page is asked for");
  assert.equal(query()["after"], "cursor1");
  assert.equal(list.before, PAGE_ROWS);
  answer(["b"]);
  await until(() => !list.isBusy, "the next page");
  list.turn(1);
  await until(() => asked.length === 3, "the last page is read again");
  assert.equal(query()["after"], "cursor1");
  answer([]);
  await until(() => asked.length === 4, "an empty last page is left");
  assert.equal(query()["after"], undefined);
  answer(["a"]);
  await until(() => !list.isBusy, "the page before");
  list.sortBy("room");
  await until(() => asked.length === 5, "sorted");
  assert.deepEqual([query()["sort"], query()["order"]], ["room", "desc"]);
  list.sortBy("room");
  await until(() => asked.length === 6, "the other way round");
  assert.equal(query()["order"], "asc");
  list.end();
});

Deno.test("List shows the answer to what was asked last, and keeps rows when one fails", async () => {
  const { list, asked, answer, query } = setup();
  list.search("l");
  list.search("lobby");
  await until(() => asked.length === 1, "one question for one word");
  assert.equal(query()["search"], "lobby");
  list.sortBy("room");
  await until(() => asked.length === 2, "a second question");
  answer(["new"]);
  await until(() => !list.isBusy, "an answer");
  answer(["old"], null, 0);
  await Promise.resolve();
  assert.deepEqual(list.rows, ["new"]);
  const reading = list.refresh();
  asked.at(-1)!.answer.reject(new Error("the store is away"));
  await reading;
  assert.deepEqual([list.rows, list.fault], [["new"], "the store is away"]);
});

Deno.test("List keeps still while it is held, except for what its person asks for", async () => {
  const { list, asked, answer } = setup();
  list.hold(true);
  await list.refresh();
  assert.equal(asked.length, 0);
  list.search("x");
  await until(() => asked.length === 1, "a search goes on");
  answer([]);
  await until(() => !list.isBusy, "an answer");
  const reading = list.reload();
  answer(["a"]);
  await reading;
  assert.equal(list.isHeld, false, "what was pointed at may be gone");
});
