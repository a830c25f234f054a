import assert from "node:assert/strict";
import { Database, MAY_LOSE } from "../../monitoring/database.ts";
import { POOL_SIZE } from "../../store/postgres_connection.ts";
import { openPostgres } from "../../store/postgres.ts";
import type { DatabaseState } from "../../store/store.ts";
import { binaries, TestPostgres } from "../postgres.ts";
import { askFrom, serviceOn } from "../test_service.ts";
import { until } from "../until.ts";

const [version] = await binaries();

const WELL: DatabaseState = {
  isPrimary: true,
  isSynchronous: true,
  standbys: 2,
  bytes: 8_192,
  rows: 5,
  deadRows: 1,
  calls: 3,
  connections: 4,
};

/** Each case: the difference, the part that reports it, and its report. */
const CASES: Readonly<
  Record<string, [Partial<DatabaseState>, RegExp, "info" | "warn", boolean]>
> = {
  "a synchronous standby": [
    {},
    /wait for a standby, 2 connected$/,
    "info",
    false,
  ],
  "a standby that may not be seen": [
    { standbys: undefined },
    /wait for a standby$/,
    "info",
    false,
  ],
  "no synchronous standby": [
    { isSynchronous: false, standbys: 0 },
    new RegExp(MAY_LOSE),
    "warn",
    false,
  ],
  "a synchronous standby that is away": [
    { standbys: 0 },
    /commits wait/,
    "warn",
    true,
  ],
  "a standby in the primary's place": [
    { isPrimary: false },
    /takes no writes/,
    "warn",
    true,
  ],
};

for (const [what, [state, detail, level, degraded]] of Object.entries(CASES)) {
  Deno.test(`Database reports ${what}, in the log only once`, async () => {
    const lines: unknown[] = [];
    const write = (level: string) => (event: string, about = {}) =>
      void lines.push([level, event, about]);
    const database = new Database({
      store: { state: () => Promise.resolve({ ...WELL, ...state }) },
      logger: { warn: write("warn"), info: write("info") },
    });
    const condition = await database.look();
    await database.look();
    assert.match(condition!.detail, detail);
    // The log reports whether the store can be used.
    assert.equal(condition!.ok, true);
    assert.equal(condition!.degraded, degraded);
    assert.deepEqual(lines, [[level, "database", {
      detail: condition!.detail,
    }]]);
  });
}

Deno.test("Database reports that it does not answer, and reads nothing old", async () => {
  const states = [
    () => Promise.resolve(WELL),
    () => Promise.reject(new Error()),
  ];
  const database = new Database({
    store: { state: () => states.shift()!() },
    logger: { warn: () => {}, info: () => {} },
  });
  await database.look();
  assert.equal(database.readings().length, 8);
  assert.match((await database.look())!.detail, /does not answer/);
  assert.deepEqual(database.readings(), []);
});

Deno.test({
  name:
    "/ready and /metrics tell how PostgreSQL stands, before and after it has a standby",
  ignore: version === undefined,
  async fn() {
    await using primary = await TestPostgres.start(version!);
    await using standby = await primary.standby("b");
    await using store = await openPostgres(primary.url);
    await using service = serviceOn(store, [], {
      env: { JWT_SECRET: "a secret that is long enough here" },
    });
    const ready = async () => {
      const response = await askFrom("192.0.2.1", service, "/ready");
      const { checks } = await response.json();
      return { status: response.status, ...checks.database };
    };
    const metric = async (name: string) => {
      const response = await askFrom("192.0.2.1", service, "/metrics");
      const [, value] =
        new RegExp(`^kaldrix_database_${name}\\{[^}]*\\} (.*)$`, "m")
          .exec(await response.text()) ?? [];
      return value === undefined ? undefined : Number(value);
    };
    const alone = await ready();
    assert.deepEqual([alone.status, alone.ok], [200, true]);
    assert.equal(alone.detail, `primary, no synchronous standby: ${MAY_LOSE}`);
    assert.equal(await metric("synchronous"), 0);

    await primary.synchronize("ANY 1 (b)");
    await until(
      async () => /1 connected/.test((await ready()).detail),
      "the standby is seen",
    );
    await until(async () => await metric("standbys") === 1, "it is counted");
    assert.equal(await metric("synchronous"), 1);
    assert.equal(await metric("primary"), 1);
    assert.equal(await metric("connections"), POOL_SIZE);
    for (const name of ["bytes", "rows", "dead_rows", "calls"]) {
      assert((await metric(name) ?? -1) >= 0, name);
    }

    await standby.stop("SIGKILL");
    await until(
      async () => /commits wait$/.test((await ready()).detail),
      "its loss is reported",
    );
    assert.equal(await metric("standbys"), 0);
    await primary.synchronize("");
  },
});
