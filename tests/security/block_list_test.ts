import assert from "node:assert/strict";
import {
  AUTOMATIC,
  AUTOMATIC_BLOCK_MS,
  type Block,
  BlockList,
  type BlockListOptions,
  DEFAULT_BLOCK_MS,
  FORGIVE_MS,
  MAX_BLOCK_MS,
  MAX_VIOLATIONS,
  VIOLATION_WINDOW_MS,
} from "../../security/block_list.ts";
import { POLL_MS } from "../../store/stored_set.ts";
import { MAX_TRIES } from "../../platform/retry.ts";
import { ManualClock } from "../fakes/clock.ts";
import { flaky } from "../fakes/security.ts";
import { until } from "../until.ts";
import { openStore } from "../../store/deno_kv.ts";
import { closeStore } from "../close_store.ts";

/** Block lists of several instances over one store, with one clock. */
async function setup(
  options: Partial<BlockListOptions> = {},
  instances = 1,
) {
  const kv = await openStore(":memory:");
  const clock = new ManualClock();
  const stores = Array.from({ length: instances }, () => flaky(kv));
  const make = (store = stores[0]!) =>
    new BlockList({ kv: store.kv, clock, ...options });
  const lists = stores.map(make);
  await Promise.all(lists.map(({ ready }) => ready));
  return {
    kv,
    clock,
    stores,
    store: stores[0]!,
    lists,
    list: lists[0]!,
    make,
    async [Symbol.asyncDispose]() {
      for (const list of lists) await list[Symbol.asyncDispose]();
      await closeStore(kv);
    },
  };
}

/** One violation more than is forgiven. */
function offend(list: BlockList, ip: string): Block | undefined {
  let block: Block | undefined;
  for (let i = 0; i <= MAX_VIOLATIONS; i++) {
    block = list.violation(ip, "sent nonsense");
  }
  return block;
}

Deno.test("an address is blocked with reason, end and who did it, until it ends", async () => {
  await using all = await setup();
  const { list, clock } = all;
  const block = await list.blockIP("203.0.113.7", {
    reason: "scraping",
    forMs: 1_000,
    by: "alice",
  });
  assert.deepEqual(block, {
    ip: "203.0.113.7",
    reason: "scraping",
    by: "alice",
    since: clock.now(),
    until: clock.now() + 1_000,
    level: 0,
  });
  assert.deepEqual(list.list(), [block]);
  assert.deepEqual(list.blockOf("203.0.113.7"), block);
  assert.equal(list.isBlocked("203.0.113.8"), false);
  clock.advance(999);
  assert.equal(list.isBlocked("203.0.113.7"), true);
  clock.advance(1);
  assert.equal(list.isBlocked("203.0.113.7"), false);
  assert.deepEqual(list.list(), []);
});

Deno.test("an address alone is enough to block, for a day", async () => {
  await using all = await setup();
  const { until, since, by } = await all.list.blockIP("192.168.1.100");
  assert.equal(until - since, DEFAULT_BLOCK_MS);
  assert.equal(by, "operator");
});

Deno.test("unblocking returns whether there was a block", async () => {
  await using all = await setup();
  await all.list.blockIP("203.0.113.7");
  assert.equal(await all.list.unblockIP("::ffff:203.0.113.7"), true);
  assert.equal(all.list.isBlocked("203.0.113.7"), false);
  assert.equal(await all.list.unblockIP("203.0.113.7"), false);
});

Deno.test("networks, IPv6 and mapped addresses are one thing in all spellings", async () => {
  await using all = await setup();
  const { list } = all;
  await list.blockIP("::ffff:198.51.100.0/120");
  assert.equal(list.isBlocked("198.51.100.200"), true);
  assert.equal(list.isBlocked("::ffff:198.51.100.200"), true);
  assert.equal(list.isBlocked("198.51.101.1"), false);
  await list.blockIP("2001:DB8:0::/32");
  assert.equal(list.isBlocked("2001:0db8::1"), true);
  assert.equal(list.isBlocked("2001:db9::1"), false);
  assert.deepEqual(
    list.list().map(({ ip }) => ip).sort(),
    ["198.51.100.0/24", "2001:db8::/32"],
  );
  assert.equal(list.isBlocked("nonsense"), false);
  assert.equal(await list.unblockIP("198.51.100.0/24"), true);
  assert.equal(list.isBlocked("198.51.100.200"), false);
});

Deno.test("an IPv6 address is blocked with its /64, and alone when named with /128", async () => {
  await using all = await setup();
  const { list } = all;
  const block = await list.blockIP("2001:db8:1:2::1");
  assert.equal(block.ip, "2001:db8:1:2::/64");
  assert.equal(list.isBlocked("2001:db8:1:2:ffff::9"), true);
  assert.equal(list.isBlocked("2001:db8:1:3::1"), false);
  assert.equal(await list.unblockIP("2001:db8:1:2::77"), true);
  assert.equal(list.isBlocked("2001:db8:1:2::1"), false);

  const one = await list.blockIP("2001:db8:1:2::1/128");
  assert.equal(list.isBlocked("2001:db8:1:2::1"), true);
  assert.equal(list.isBlocked("2001:db8:1:2::2"), false);
  assert.equal(await list.unblockIP(one.ip), true);
  assert.equal(list.isBlocked("2001:db8:1:2::1"), false);
});

Deno.test("of several blocks on an address the one that ends last speaks", async () => {
  await using all = await setup();
  await all.list.blockIP("203.0.113.7", { forMs: 1_000, reason: "short" });
  await all.list.blockIP("203.0.113.0/24", { forMs: 9_000, reason: "long" });
  assert.equal(all.list.blockOf("203.0.113.7")?.reason, "long");
  await all.list.unblockIP("203.0.113.0/24");
  assert.equal(all.list.blockOf("203.0.113.7")?.reason, "short");
});

Deno.test("what cannot be blocked is refused with the reason", async () => {
  await using all = await setup({ allow: ["127.0.0.0/8", "::1"] });
  const { list } = all;
  const wrong = [
    ["example.com", {}, "INVALID_PAYLOAD", /ip is neither/],
    ["", {}, "INVALID_PAYLOAD", /ip is neither/],
    ["10.0.0.0/7", {}, "INVALID_PAYLOAD", /ip is wider than \/8/],
    ["2001::/15", {}, "INVALID_PAYLOAD", /ip is wider than \/16/],
    ["::/0", {}, "INVALID_PAYLOAD", /ip is wider/],
    ["10.0.0.1", { forMs: 0 }, "INVALID_PAYLOAD", /forMs/],
    ["10.0.0.1", { forMs: NaN }, "INVALID_PAYLOAD", /forMs/],
    ["10.0.0.1", { forMs: MAX_BLOCK_MS + 1 }, "INVALID_PAYLOAD", /forMs/],
    ["127.0.0.1", {}, "FORBIDDEN", /allow-list/],
    ["127.1.0.0/16", {}, "FORBIDDEN", /allow-list/],
    ["::1", {}, "FORBIDDEN", /allow-list/],
  ] as const;
  for (const [ip, options, code, message] of wrong) {
    await assert.rejects(list.blockIP(ip, options), { code, message }, ip);
  }
  await list.blockIP("10.0.0.0/8", { forMs: MAX_BLOCK_MS });
  await list.blockIP("2001::/16", { forMs: 1 });
  assert.equal(list.list().length, 2);
  await assert.rejects(
    list.unblockIP("nonsense"),
    { code: "INVALID_PAYLOAD", message: /ip is neither/ },
  );
});

Deno.test("no address on the allow-list is blocked, by any means", async () => {
  await using all = await setup({ allow: ["10.1.2.3", "2001:db8::/64"] });
  await all.list.blockIP("10.0.0.0/8");
  assert.equal(all.list.isBlocked("10.1.2.3"), false);
  assert.equal(all.list.isBlocked("10.1.2.4"), true);
  assert.equal(offend(all.list, "10.1.2.3"), undefined);
  assert.equal(offend(all.list, "2001:db8::7"), undefined);
  assert.equal(all.list.isBlocked("2001:db8::7"), false);
});

Deno.test("an allow-list entry that is no address is named at the start", async () => {
  const kv = await openStore(":memory:");
  const clock = new ManualClock();
  assert.throws(() => new BlockList({ kv, clock, allow: ["nobody"] }), {
    name: "RangeError",
    message: /"nobody"/,
  });
  await closeStore(kv);
});

Deno.test("a block reaches the other instance through the watch, with time standing still", async () => {
  await using all = await setup({}, 2);
  const [one, two] = all.lists as [BlockList, BlockList];
  const received: string[] = [];
  using _listening = two.onBlocked((blocks) => {
    received.push(...blocks.map(({ ip }) => ip));
  });
  await one.blockIP("203.0.113.7");
  await until(() => two.isBlocked("203.0.113.7"), "the other knows");
  assert.deepEqual(received, ["203.0.113.7"]);
  await one.unblockIP("203.0.113.7");
  await until(() => !two.isBlocked("203.0.113.7"), "the other knows");
  assert.deepEqual(received, ["203.0.113.7"]);
});

Deno.test("where no watch rings, the poll brings blocks within a second", async () => {
  await using all = await setup();
  const silent = new Proxy(all.kv, {
    get(target, name) {
      if (name === "watch") return () => new ReadableStream();
      const value = Reflect.get(target, name);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  const deaf = new BlockList({ kv: silent, clock: all.clock });
  await deaf.ready;
  await all.list.blockIP("203.0.113.7");
  assert.equal(deaf.isBlocked("203.0.113.7"), false);
  assert(POLL_MS < 1_000);
  await until(() => deaf.isBlocked("203.0.113.7"), "the poll", all.clock);
  await deaf[Symbol.asyncDispose]();
});

Deno.test("blocks outlive the instance that made them", async () => {
  await using all = await setup();
  await all.list.blockIP("203.0.113.0/24", { reason: "kept" });
  const later = all.make();
  await later.ready;
  assert.equal(later.blockOf("203.0.113.7")?.reason, "kept");
  await later[Symbol.asyncDispose]();
});

Deno.test("listeners receive a block here at once, and no more once disposed", async () => {
  await using all = await setup();
  const received: string[] = [];
  const listening = all.list.onBlocked((blocks) => {
    received.push(...blocks.map(({ ip }) => ip));
  });
  const blocking = all.list.blockIP("203.0.113.7");
  assert.deepEqual(received, ["203.0.113.7"]);
  await blocking;
  listening[Symbol.dispose]();
  await all.list.blockIP("203.0.113.8");
  assert.deepEqual(received, ["203.0.113.7"]);
});

Deno.test("while KV is away known blocks hold, and a new one holds here until it can be shared", async () => {
  await using all = await setup({}, 2);
  const [one, two] = all.lists as [BlockList, BlockList];
  await one.blockIP("203.0.113.7");
  await until(() => two.isBlocked("203.0.113.7"), "the other knows");
  for (const store of all.stores) store.isAway = true;
  await assert.rejects(
    one.blockIP("203.0.113.8"),
    { code: "STORE_UNAVAILABLE", message: /this instance/ },
  );
  assert.equal(one.state, "degraded");
  assert.equal(one.isBlocked("203.0.113.8"), true);
  await until(() => two.state === "degraded", "the poll fails", all.clock);
  assert.equal(two.isBlocked("203.0.113.7"), true);
  assert.equal(two.isBlocked("203.0.113.8"), false);
  for (const store of all.stores) store.isAway = false;
  await until(
    () => two.isBlocked("203.0.113.8"),
    "the other knows",
    all.clock,
  );
  await until(() => one.state === "ok", "all is shared", all.clock);
  await until(() => two.state === "ok", "KV is back", all.clock);
});

Deno.test("an unblocking while KV is away is shared when it is back", async () => {
  await using all = await setup({}, 2);
  const [one, two] = all.lists as [BlockList, BlockList];
  await one.blockIP("203.0.113.7");
  await until(() => two.isBlocked("203.0.113.7"), "the other knows");
  all.store.isAway = true;
  await assert.rejects(
    one.unblockIP("203.0.113.7"),
    { code: "STORE_UNAVAILABLE", message: /this instance/ },
  );
  assert.equal(one.isBlocked("203.0.113.7"), false);
  all.store.isAway = false;
  await until(
    () => !two.isBlocked("203.0.113.7"),
    "the other knows",
    all.clock,
  );
  assert.equal(one.isBlocked("203.0.113.7"), false);
});

Deno.test("a file that another instance holds for a moment is no failure", async () => {
  await using all = await setup();
  all.store.lockedFor = MAX_TRIES - 1;
  let isDone = false;
  all.list.blockIP("203.0.113.7").then(() => isDone = true);
  await until(() => isDone, "the block is stored", all.clock);
  assert.equal(all.store.lockedFor, 0);
  assert.equal(all.list.state, "ok");
  const later = all.make();
  await later.ready;
  assert.equal(later.isBlocked("203.0.113.7"), true);
  await later[Symbol.asyncDispose]();
});

Deno.test("a file that stays held is a store that is away", async () => {
  await using all = await setup();
  all.store.lockedFor = Infinity;
  let code: string | undefined;
  all.list.blockIP("203.0.113.7").catch((error) => code = error.code);
  await until(() => code !== undefined, "the block is refused", all.clock);
  assert.equal(code, "STORE_UNAVAILABLE");
  all.store.lockedFor = 0;
});

Deno.test("a list that starts while KV is away reads it as soon as it is back", async () => {
  await using all = await setup();
  await all.list.blockIP("203.0.113.7");
  const store = flaky(all.kv);
  store.isAway = true;
  const late = all.make(store);
  await late.ready;
  assert.equal(late.state, "degraded");
  assert.equal(late.isBlocked("203.0.113.7"), false);
  store.isAway = false;
  await until(() => late.isBlocked("203.0.113.7"), "it reads", all.clock);
  assert.equal(late.state, "ok");
  await late[Symbol.asyncDispose]();
});

Deno.test("repeated violations block by themselves, a few are forgiven", async () => {
  await using all = await setup();
  const { list, clock } = all;
  for (let i = 0; i < MAX_VIOLATIONS; i++) {
    assert.equal(list.violation("203.0.113.7", "flood"), undefined);
  }
  assert.equal(list.isBlocked("203.0.113.7"), false);
  const block = list.violation("203.0.113.7", "flood");
  assert.deepEqual(block, {
    ip: "203.0.113.7",
    reason: "flood",
    by: AUTOMATIC,
    since: clock.now(),
    until: clock.now() + AUTOMATIC_BLOCK_MS[0]!,
    level: 1,
  });
  assert.equal(list.isBlocked("203.0.113.7"), true);
  assert.deepEqual(list.violation("203.0.113.7", "more"), block);
});

Deno.test("an IPv6 offender is blocked with its /64", async () => {
  await using all = await setup();
  for (let i = 0; i <= MAX_VIOLATIONS; i++) {
    all.list.violation(`2001:db8:1:2::${i.toString(16)}`, "flood");
  }
  assert.equal(all.list.isBlocked("2001:db8:1:2:ffff::1"), true);
  assert.equal(all.list.isBlocked("2001:db8:1:3::1"), false);
});

Deno.test("each automatic block is longer, up to the longest, and good behaviour is forgiven", async () => {
  await using all = await setup();
  const { list, clock } = all;
  const last = AUTOMATIC_BLOCK_MS.length;
  for (let level = 1; level <= last + 1; level++) {
    const block = offend(list, "203.0.113.7");
    const forMs = AUTOMATIC_BLOCK_MS[Math.min(level, last) - 1]!;
    assert.equal(block?.level, level);
    assert.equal(block.until - block.since, forMs);
    clock.advance(forMs + 2 * VIOLATION_WINDOW_MS);
    assert.equal(list.isBlocked("203.0.113.7"), false);
  }
  clock.advance(FORGIVE_MS);
  assert.equal(offend(list, "203.0.113.7")?.level, 1);
});

Deno.test("the instances remember offenders together", async () => {
  await using all = await setup({}, 2);
  const [one, two] = all.lists as [BlockList, BlockList];
  offend(one, "203.0.113.7");
  await until(() => two.isBlocked("203.0.113.7"), "the other knows");
  all.clock.advance(AUTOMATIC_BLOCK_MS[0]! + 2 * VIOLATION_WINDOW_MS);
  assert.equal(offend(two, "203.0.113.7")?.level, 2);
});

Deno.test("an automatic block never shortens one by hand", async () => {
  await using all = await setup();
  const block = await all.list.blockIP("203.0.113.7", { reason: "by hand" });
  assert.deepEqual(offend(all.list, "203.0.113.7"), block);
  assert.deepEqual(all.list.list(), [block]);
});

Deno.test("a full list gives up automatic blocks, never those by hand", async () => {
  await using all = await setup({ maxBlocks: 3 });
  const { list } = all;
  offend(list, "203.0.113.1");
  all.clock.advance(1);
  offend(list, "203.0.113.2");
  await list.blockIP("10.0.0.1");
  await list.blockIP("10.0.0.2");
  assert.equal(list.isBlocked("203.0.113.1"), false);
  assert.equal(list.isBlocked("203.0.113.2"), true);
  assert(offend(list, "203.0.113.3"));
  assert.equal(list.isBlocked("203.0.113.2"), false);
  await list.blockIP("10.0.0.3");
  await assert.rejects(list.blockIP("10.0.0.4"), {
    code: "FORBIDDEN",
    message: /full/,
  });
  assert.equal(offend(list, "203.0.113.4"), undefined);
  await list.blockIP("10.0.0.3", { reason: "again" });
  assert.deepEqual(
    list.list().map(({ ip }) => ip).sort(),
    ["10.0.0.1", "10.0.0.2", "10.0.0.3"],
  );
  await list.unblockIP("10.0.0.1");
  await list.blockIP("10.0.0.4");
});

Deno.test("many blocks at once reach the other instance", async () => {
  await using all = await setup({}, 2);
  const [one, two] = all.lists as [BlockList, BlockList];
  const ips = Array.from(
    { length: 2_000 },
    (_, i) => `10.${i >> 8}.${i & 255}.1`,
  );
  await Promise.all(ips.map((ip) => one.blockIP(ip)));
  const known = () => ips.every((ip) => two.isBlocked(ip));
  // A large set is read again only after a while.
  await until(known, "the other knows", all.clock);
  assert.equal(two.isBlocked("11.0.0.1"), false);
});
