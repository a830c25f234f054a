import assert from "node:assert/strict";
import fc from "fast-check";
import {
  Dag,
  MAX_DAG_EDGES,
  MAX_DAG_NODES,
  MAX_MISSING_PARENTS,
} from "../../chain/dag.ts";
import { openStore } from "../../store/deno_kv.ts";
import type { Draft } from "../../store/event_log.ts";
import { draft, events, logOn, WHEN } from "./chain_log.ts";
import type { Fields } from "./chain_log.ts";

function update(
  updateType: string,
  nodeId: string,
  relatedNodes: readonly string[] = [],
): Fields {
  return { updateType, nodeId, relatedNodes, timestamp: WHEN };
}

function added(nodeId: string, parents: readonly string[] = []): Draft {
  return draft("DAG_UPDATE", update("NODE_ADDED", nodeId, parents));
}

Deno.test("a node whose parents are unknown is marked, and its publisher receives their names", async () => {
  await using kv = await openStore(":memory:");
  const log = logOn(kv);
  // The first is a start.
  const [start] = await log.append([added("a", ["before"])]);
  assert.equal(start!.missingParents, undefined);
  const answers = await log.append([
    added("b", ["a"]),
    added("d", ["b", "c", "e"]),
    added("c", ["a"]),
    added("f", ["c", "d"]),
  ]);
  assert.deepEqual(answers.map(({ missingParents }) => missingParents), [
    undefined,
    ["c", "e"],
    undefined,
    undefined,
  ]);
  const marks = (await events(log, "dag"))
    .map(({ payload }) => payload["missingParents"]);
  assert.deepEqual(marks, [
    undefined,
    undefined,
    ["c", "e"],
    undefined,
    undefined,
  ]);
  // The mark is the service's own to make, and names a bounded number.
  const most = Array.from(
    { length: MAX_MISSING_PARENTS + 1 },
    (_, i) => `p${i}`,
  );
  const [last] = await log.append([{
    ...added("g", most),
    payload: { ...added("g", most).payload, missingParents: ["x"] },
  }]);
  assert.deepEqual(last!.missingParents, most.slice(0, -1));
  // An instance that reads the log knows the same nodes.
  const [known] = await logOn(kv).append([added("h", ["a", "f", "nobody"])]);
  assert.deepEqual(known!.missingParents, ["nobody"]);
});

Deno.test("a node that was removed is no parent; a reset that keeps nothing begins the DAG again", async () => {
  await using kv = await openStore(":memory:");
  const log = logOn(kv);
  const [, , , gone] = await log.append([
    added("a"),
    added("b", ["a"]),
    draft("DAG_UPDATE", update("NODE_REMOVED", "b")),
    added("c", ["b"]),
  ]);
  assert.deepEqual(gone!.missingParents, ["b"]);
  const [, start] = await log.append([
    {
      ...draft("CHAIN_RESET", { keeps: null, timestamp: WHEN }),
      channel: "dag",
    },
    added("d", ["z"]),
  ]);
  assert.equal(start!.missingParents, undefined);
});

Deno.test("nodes and edges are bounded", () => {
  const dag = new Dag();
  for (let i = 0; i <= MAX_DAG_NODES; i++) {
    dag.apply(update("NODE_ADDED", `n${i}`, [`n${i - 1}`]), {}, "p");
    dag.bound();
  }
  assert.deepEqual([dag.size, dag.isWhole], [MAX_DAG_NODES, false]);
  dag.clear();
  const parents = Array.from({ length: 1_000 }, (_, i) => `p${i}`);
  for (let i = 0; i * 1_000 <= MAX_DAG_EDGES; i++) {
    dag.apply(update("NODE_ADDED", `n${i}`, parents), {}, "p");
    dag.bound();
  }
  assert.equal(dag.size, Math.floor(MAX_DAG_EDGES / 1_000));
});

Deno.test("tips are the nodes without children, whatever was added, linked, removed and undone", () => {
  const change = fc.record({
    updateType: fc.constantFrom(
      "NODE_ADDED",
      "NODE_ADDED",
      "NODE_REMOVED",
      "EDGE_ADDED",
      "EDGE_REMOVED",
    ),
    nodeId: fc.constantFrom("a", "b", "c", "d"),
    relatedNodes: fc.array(fc.constantFrom("a", "b", "c", "d"), {
      maxLength: 2,
    }),
    isTried: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 30 }), (changes) => {
      const dag = new Dag();
      const parents = new Map<string, Set<string>>();
      const places = new Map<string, number>();
      let seq = 0;
      for (const { updateType, nodeId, relatedNodes, isTried } of changes) {
        if (relatedNodes.includes(nodeId)) continue;
        const payload = update(updateType, nodeId, relatedNodes);
        const place = { id: "i", epoch: "e", seq: ++seq };
        if (isTried) {
          dag.undoLog.begin();
          dag.apply(payload, { place }, "p");
          dag.undoLog.end();
          continue;
        }
        dag.apply(payload, { place }, "p");
        if (updateType === "NODE_ADDED") {
          parents.set(nodeId, new Set(relatedNodes));
          places.set(nodeId, seq);
        }
        if (updateType === "NODE_REMOVED") parents.delete(nodeId);
        for (const other of relatedNodes) {
          if (updateType === "EDGE_ADDED") parents.get(nodeId)?.add(other);
          if (updateType === "EDGE_REMOVED") parents.get(nodeId)?.delete(other);
        }
      }
      const isParent = (name: string) =>
        [...parents.values()].some((each) => each.has(name));
      const wanted = [...parents.keys()].filter((name) => !isParent(name))
        .map((name) => places.get(name)).sort((a, b) => b! - a!);
      assert.deepEqual(dag.tips().map(({ seq }) => seq), wanted);
    }),
    { numRuns: 500 },
  );
});
