import assert from "node:assert/strict";
import { exposition } from "../../monitoring/exposition.ts";
import type { Reading } from "../../monitoring/instruments.ts";

Deno.test("exposition() writes gauges, counters and histograms of several instances", () => {
  assert.equal(
    exposition([
      {
        id: "one",
        readings: [
          { name: "kaldrix_connections", labels: {}, value: 3 },
          {
            name: "kaldrix_commit_events",
            labels: {},
            value: 7,
            count: 3,
            buckets: [[1, 1], [2, 2]],
          },
          {
            name: "kaldrix_refusals_total",
            labels: { code: "FORBIDDEN" },
            value: 2,
          },
        ],
      },
      {
        id: "two",
        readings: [{ name: "kaldrix_connections", labels: {}, value: 0.5 }],
      },
    ]),
    `# HELP kaldrix_connections Clients connected now, over WebSocket or SSE.
# TYPE kaldrix_connections gauge
kaldrix_connections{isolate="one"} 3
kaldrix_connections{isolate="two"} 0.5
# HELP kaldrix_refusals_total What was refused, by code.
# TYPE kaldrix_refusals_total counter
kaldrix_refusals_total{code="FORBIDDEN",isolate="one"} 2
# HELP kaldrix_commit_events Events in one commit.
# TYPE kaldrix_commit_events histogram
kaldrix_commit_events_bucket{isolate="one",le="1"} 1
kaldrix_commit_events_bucket{isolate="one",le="2"} 2
kaldrix_commit_events_bucket{isolate="one",le="+Inf"} 3
kaldrix_commit_events_sum{isolate="one"} 7
kaldrix_commit_events_count{isolate="one"} 3
`,
  );
});

Deno.test("exposition() escapes label values and leaves out unknown instruments", () => {
  const text = exposition([{
    id: 'a"b\\c\nd',
    readings: [
      { name: "kaldrix_connections", labels: {}, value: 1 },
      {
        name: "kaldrix_of_tomorrow",
        labels: {},
        value: 1,
      } as unknown as Reading,
      { name: "toString", labels: {}, value: 1 } as unknown as Reading,
    ],
  }]);
  assert.equal(
    text.split("\n").at(-2),
    'kaldrix_connections{isolate="a\\"b\\\\c\\nd"} 1',
  );
  assert.equal(text.split("\n").length, 4);
});
