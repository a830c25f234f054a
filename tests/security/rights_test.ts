import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type Channel,
  channelNamed,
  CHANNELS,
  fixedChannels,
  ROLES,
} from "../../protocol/channels.ts";
import { Refusal } from "../../protocol/refusals.ts";
import { principalOf } from "../../security/identity.ts";
import {
  mayPublish,
  mayRead,
  reaches,
  requireRight,
  type Right,
  type RightName,
  RIGHTS,
  visibleTo,
} from "../../security/rights.ts";
import {
  isPattern,
  matches,
  MAX_PATTERN_LENGTH,
} from "../../security/patterns.ts";
import { ANONYMOUS, type Grant } from "../../security/tokens.ts";

function channel(name: string): Channel {
  const found = channelNamed(name);
  assert(found);
  return found;
}

function grant(changes: Partial<Grant>): Grant {
  return { user: "u", role: "user", isAuthenticated: true, ...changes };
}

const anyChannel = fc.oneof(
  fc.constantFrom(...fixedChannels()),
  fc.stringMatching(/^[A-Za-z0-9_.:-]{1,20}$/)
    .map((name) => channel(`room:${name}`)),
);
const anyPattern = fc.stringMatching(/^[a-c:*-]{1,8}$/).filter(isPattern);

Deno.test("each role includes the ones before it", () => {
  ROLES.forEach((role, i) =>
    ROLES.forEach((least, j) => assert.equal(reaches(role, least), i >= j))
  );
});

Deno.test("callers without a token read what is public and publish nothing", () => {
  for (const each of [...fixedChannels(), channel("room:lobby")]) {
    assert.equal(
      mayRead(ANONYMOUS, each),
      CHANNELS[each.kind].read === "anonymous",
    );
    assert.equal(mayPublish(ANONYMOUS, each), false);
  }
});

Deno.test("the catalogue decides who publishes", () => {
  assert.equal(mayPublish(grant({ role: "user" }), channel("room:a")), true);
  assert.equal(mayPublish(grant({ role: "user" }), channel("blocks")), false);
  assert.equal(mayPublish(grant({ role: "publisher" }), channel("dag")), true);
  assert.equal(
    mayPublish(grant({ role: "publisher" }), channel("metrics")),
    false,
  );
  assert.equal(mayPublish(grant({ role: "admin" }), channel("metrics")), true);
});

Deno.test("no role ever reads or publishes outside its rights", () => {
  const patterns = fc.option(
    fc.array(fc.oneof(anyPattern, fc.constantFrom("*", "room:*", "blocks"))),
    { nil: undefined },
  );
  fc.assert(
    fc.property(
      fc.constantFrom(...ROLES),
      anyChannel,
      patterns,
      patterns,
      (role, on, read, publish) => {
        const holder = grant({
          role,
          ...(read ? { read } : {}),
          ...(publish ? { publish } : {}),
        });
        const { read: reader, publish: publisher } = CHANNELS[on.kind];
        const level = ROLES.indexOf(role);
        if (mayRead(holder, on)) {
          assert(level >= ROLES.indexOf(reader));
          assert(!read || read.length > 0);
        }
        if (mayPublish(holder, on)) {
          assert(level >= ROLES.indexOf(publisher));
          assert(!publish || publish.length > 0);
        }
        // Patterns only ever take away.
        const bare = grant({ role });
        assert(mayRead(bare, on) || !mayRead(holder, on));
        assert(mayPublish(bare, on) || !mayPublish(holder, on));
      },
    ),
    { numRuns: 2_000 },
  );
});

Deno.test("patterns narrow reading and publishing apart", () => {
  const holder = grant({ read: ["room:team-*", "blocks"], publish: [] });
  assert.equal(mayRead(holder, channel("room:team-a")), true);
  assert.equal(mayRead(holder, channel("room:other")), false);
  assert.equal(mayRead(holder, channel("blocks")), true);
  assert.equal(mayRead(holder, channel("dag")), false);
  assert.equal(mayPublish(holder, channel("room:team-a")), false);
});

Deno.test("a pattern may use a channel's other name", () => {
  const holder = grant({ read: ["validator_updates"] });
  assert.equal(mayRead(holder, channel("validators")), true);
  assert.equal(mayRead(holder, channel("blocks")), false);
});

Deno.test("a pattern is short, of a channel's letters, with * at the end or as a segment", () => {
  const good = ["*", "blocks", "room:*", "room:team-*", "room:*:chat", "*:a"];
  for (const text of good) assert(isPattern(text), text);
  const bad = ["", "a*b", "*a", "a*:b", "**", "room:**", "room:a*b:c", "a b"];
  for (const text of bad) assert(!isPattern(text), text);
  for (const text of ["(a+)+$", "é", "a\n", null, 7, ["a"]]) {
    assert(!isPattern(text), String(text));
  }
  assert(isPattern("x".repeat(MAX_PATTERN_LENGTH)));
  assert(!isPattern("x".repeat(MAX_PATTERN_LENGTH + 1)));
});

Deno.test("a * covers the rest at the end, and one full segment between colons", () => {
  const cases: [string, string, boolean][] = [
    ["*", "blocks", true],
    ["room:team-*", "room:team-", true],
    ["room:team-*", "room:team-a:b", true],
    ["room:team-*", "room:tea", false],
    ["room:*:chat", "room:a:chat", true],
    ["room:*:chat", "room:a:b:chat", false],
    ["room:*:chat", "room::chat", false],
    ["room:*:chat", "room:a:chats", false],
    ["blocks", "blocks2", false],
    ["blocks2", "blocks", false],
    ["*:a:*", "room:a:", true],
  ];
  for (const [pattern, name, is] of cases) {
    assert.equal(matches(pattern, name), is, `${pattern} ${name}`);
  }
});

Deno.test("matching agrees with the plain reading of patterns", () => {
  const plainly = (pattern: string, name: string): boolean => {
    const isOpen = pattern.endsWith("*");
    const wanted = pattern.split(":");
    const last = wanted.pop()!;
    const parts = name.split(":");
    const fits = wanted.every((segment, i) =>
      segment === "*" ? !!parts[i] : segment === parts[i]
    );
    const rest = parts.slice(wanted.length).join(":");
    return fits && parts.length > wanted.length &&
      (isOpen ? rest.startsWith(last.slice(0, -1)) : rest === last);
  };
  const name = fc.stringMatching(/^[a-c:-]{1,8}$/);
  fc.assert(
    fc.property(anyPattern, name, (pattern, name) => {
      assert.equal(matches(pattern, name), plainly(pattern, name));
    }),
    { numRuns: 5_000 },
  );
});

const PRINCIPALS = ROLES.map((role) =>
  principalOf(grant({ role, isAuthenticated: role !== "anonymous" }), {
    isRevoked: () => false,
  })
);

function codeOf(work: () => void): string | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    return Refusal.of(error).code;
  }
}

Deno.test("a row admits the roles that it names, with a token where one is required", () => {
  for (const name of Object.keys(RIGHTS) as RightName[]) {
    const right: Right = RIGHTS[name];
    for (const requireAuth of [false, true]) {
      for (const principal of PRINCIPALS) {
        const { role, isAuthenticated } = principal.identity;
        const needsToken = right.role !== "anonymous" ||
          (requireAuth && !right.isOpen);
        const expected = needsToken && !isAuthenticated
          ? "UNAUTHENTICATED"
          : reaches(role, right.role)
          ? undefined
          : "FORBIDDEN";
        assert.equal(
          codeOf(() => requireRight(name, principal, { requireAuth })),
          expected,
          `${name} ${role} ${requireAuth}`,
        );
      }
    }
  }
});

Deno.test("measurements are for tokens that cover the channel metrics", () => {
  const of = (read: string[]) =>
    principalOf(grant({ role: "admin", read }), { isRevoked: () => false });
  const options = { requireAuth: false };
  for (const name of ["measure", "scrape"] as const) {
    const ask = (read: string[]) =>
      codeOf(() => requireRight(name, of(read), options));
    assert.equal(ask(["room:only-this"]), "FORBIDDEN");
    assert.equal(ask(["room:only-this", "metrics"]), undefined);
    assert.equal(ask(["*"]), undefined);
  }
});

Deno.test("a room's name is seen with a token that covers it, never without one", () => {
  const anyone = PRINCIPALS[0]!;
  const some = principalOf(grant({ read: ["room:a"] }), {
    isRevoked: () => false,
  });
  const figures = { blocks: 1, "room:a": 2, "room:b": 3, "no such": 4 };
  assert.deepEqual(visibleTo(anyone, figures), { blocks: 1 });
  assert.deepEqual(visibleTo(some, figures), { "room:a": 2 });
  assert.deepEqual(visibleTo(PRINCIPALS[1]!, figures), {
    blocks: 1,
    "room:a": 2,
    "room:b": 3,
  });
});
