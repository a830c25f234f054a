import assert from "node:assert/strict";
import fc from "fast-check";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import type { Role } from "../../protocol/channels.ts";
import { MAX_TOKEN_LENGTH } from "../../protocol/commands.ts";
import { Refusal } from "../../protocol/refusals.ts";
import { MAX_PATTERN_LENGTH, MAX_PATTERNS } from "../../security/patterns.ts";
import {
  createTokens,
  generateWebSocketToken,
  isWeak,
  MAX_CLAIM_LENGTH,
  MAX_KNOWN_TOKENS,
  MAX_SECRETS,
  MAX_TOKEN_LIFE_MS,
  secondsOf,
  secretsOf,
  STRONG_SECRET_BYTES,
} from "../../security/tokens.ts";
import {
  JWKS_COOLDOWN_MS,
  JWKS_REFRESH_MS,
  JWKS_UNKNOWN_BURST,
} from "../../security/key_server.ts";
import { ManualClock } from "../fakes/clock.ts";
import { until } from "../until.ts";

const OLD = "old-secret-old-secret-old-secret-0";
const NEW = "new-secret-new-secret-new-secret-0";
const alice = { userId: "alice", role: "publisher" as const };
const NOW = Date.UTC(2025, 7, 7, 10);
const now = () => NOW;
/** Stands still. */
const clock = { now, monotonic: now };
const seconds = NOW / 1000;

function sign(
  claims: Record<string, unknown>,
  { secret = NEW, header = {} }: {
    secret?: string;
    header?: Record<string, unknown>;
  } = {},
): Promise<string> {
  return new SignJWT(claims)
    .setProtectedHeader({ alg: "HS256", ...header })
    .sign(new TextEncoder().encode(secret));
}

function base64url(value: unknown): string {
  return btoa(JSON.stringify(value)).replaceAll("+", "-")
    .replaceAll("/", "_").replaceAll("=", "");
}

/** A refusal with `code` whose message matches and holds nothing of the token. */
function refusal(code: string, message: RegExp, token = "") {
  return (error: unknown): boolean => {
    assert(error instanceof Refusal, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, message);
    assert.equal(error.cause, undefined);
    for (const part of token.split(".").filter(({ length }) => length > 8)) {
      assert(!error.message.includes(part));
    }
    return true;
  };
}

const good = { sub: "alice", exp: seconds + 60 };

Deno.test("a token created here contains user, role and expiry", async () => {
  const tokens = createTokens({ secrets: [NEW], clock });
  const token = await generateWebSocketToken(
    { ...alice, read: ["room:team-*"], publish: [] },
    NEW,
    "24h",
    { now, tokenId: "t1" },
  );
  assert.deepEqual(await tokens.verify(token), {
    user: "alice",
    role: "publisher",
    isAuthenticated: true,
    tokenId: "t1",
    issuedAt: NOW,
    expiresAt: NOW + 24 * 3_600_000,
    read: ["room:team-*"],
    publish: [],
  });
});

Deno.test("every token made here can be revoked by its id", async () => {
  const tokens = createTokens({ secrets: [NEW], clock });
  const make = () => generateWebSocketToken(alice, NEW, 60, { now });
  const first = await tokens.verify(await make());
  const second = await tokens.verify(await make());
  assert(first.tokenId && second.tokenId);
  assert.notEqual(first.tokenId, second.tokenId);
});

Deno.test("secrets rotate: the first signs, all verify, an unknown one does not", async () => {
  const tokens = createTokens({ secrets: [NEW, OLD], clock });
  for (const secret of [OLD, NEW]) {
    const token = await generateWebSocketToken(alice, secret, 60, { now });
    assert.equal((await tokens.verify(token)).user, "alice");
  }
  const other = await generateWebSocketToken(alice, "x".repeat(32), 60, {
    now,
  });
  await assert.rejects(
    tokens.verify(other),
    refusal("UNAUTHENTICATED", /signature/, other),
  );
});

Deno.test("a token without a role is a user's; one without sub or exp is refused", async () => {
  const tokens = createTokens({ secrets: [NEW], clock });
  assert.equal((await tokens.verify(await sign(good))).role, "user");
  await assert.rejects(
    tokens.verify(await sign({ exp: seconds + 60 })),
    refusal("UNAUTHENTICATED", /lacks the claim sub/),
  );
  await assert.rejects(
    tokens.verify(await sign({ sub: "alice" })),
    refusal("UNAUTHENTICATED", /lacks the claim exp/),
  );
});

Deno.test("expiry forgives 30 s of skew, not more", async () => {
  let at = NOW;
  const tokens = createTokens({
    secrets: [NEW],
    clock: { ...clock, now: () => at },
  });
  const token = await sign({ sub: "alice", iat: seconds, exp: seconds + 60 });
  at = NOW + 89_000;
  assert.equal((await tokens.verify(token)).expiresAt, NOW + 60_000);
  at = NOW + 90_000;
  await assert.rejects(
    tokens.verify(token),
    refusal("TOKEN_EXPIRED", /exp/, token),
  );
});

Deno.test("a token is verified once while it lasts, and a bounded number is known", async () => {
  let at = NOW;
  const tokens = createTokens({
    secrets: [NEW],
    clock: { ...clock, now: () => at },
  });
  const exp = seconds + 60;
  const token = await sign({ sub: "u", exp });
  const grant = await tokens.verify(token);
  assert.equal(await tokens.verify(token), grant);
  for (let i = 1; i < MAX_KNOWN_TOKENS; i++) {
    await tokens.verify(await sign({ sub: `u${i}`, exp }));
  }
  assert.equal(await tokens.verify(token), grant);
  await tokens.verify(await sign({ sub: "one more", exp }));
  const again = await tokens.verify(token);
  assert.notEqual(again, grant);
  assert.deepEqual(again, grant);
  at = (exp + 30) * 1_000 - 1;
  assert.equal(await tokens.verify(token), again);
  at++;
  await assert.rejects(
    tokens.verify(token),
    refusal("TOKEN_EXPIRED", /expired/, token),
  );
});

Deno.test("a token is refused before its time, with 30 s of skew", async () => {
  const tokens = createTokens({ secrets: [NEW], clock });
  await tokens.verify(await sign({ ...good, nbf: seconds + 30 }));
  await assert.rejects(
    tokens.verify(await sign({ ...good, nbf: seconds + 31 })),
    refusal("UNAUTHENTICATED", /nbf/),
  );
  await tokens.verify(await sign({ ...good, iat: seconds + 30 }));
  await assert.rejects(
    tokens.verify(await sign({ ...good, iat: seconds + 31 })),
    refusal("UNAUTHENTICATED", /iat/),
  );
});

Deno.test("a life longer than the longest is refused, since revocations are not kept longer", async () => {
  const tokens = createTokens({ secrets: [NEW], clock });
  const life = MAX_TOKEN_LIFE_MS / 1000;
  await tokens.verify(
    await sign({ ...good, iat: seconds, exp: seconds + life }),
  );
  await tokens.verify(await sign({ ...good, exp: seconds + life }));
  for (const iat of [seconds, undefined]) {
    await assert.rejects(
      tokens.verify(await sign({ ...good, iat, exp: seconds + life + 1 })),
      refusal("UNAUTHENTICATED", /exp/),
    );
  }
  await assert.rejects(
    tokens.verify(await sign({ ...good, iat: seconds - life })),
    refusal("UNAUTHENTICATED", /exp/),
  );
});

Deno.test("issuer and audience are checked when set", async () => {
  const options = { issuer: "https://id.example", audience: "kaldrix" };
  const tokens = createTokens({ secrets: [NEW], clock, ...options });
  const token = await generateWebSocketToken(alice, NEW, 60, {
    now,
    ...options,
  });
  assert.equal((await tokens.verify(token)).user, "alice");
  const { issuer: iss, audience: aud } = options;
  await tokens.verify(await sign({ ...good, iss, aud: ["other", aud] }));
  const cases = [
    [{ iss: "evil", aud }, /iss/],
    [{ iss, aud: "evil" }, /aud/],
    [{ aud }, /lacks the claim iss/],
    [{ iss }, /lacks the claim aud/],
  ] as const;
  for (const [claims, message] of cases) {
    const bad = await sign({ ...good, ...claims });
    await assert.rejects(
      tokens.verify(bad),
      refusal("UNAUTHENTICATED", message, bad),
    );
  }
});

Deno.test("malformed claims are refused by name", async () => {
  const tokens = createTokens({ secrets: [NEW], clock });
  const tooMany = Array(MAX_PATTERNS + 1).fill("blocks");
  const cases: [Record<string, unknown>, RegExp][] = [
    [{ sub: "" }, /sub/],
    [{ sub: 7 }, /sub/],
    [{ sub: "x".repeat(MAX_CLAIM_LENGTH + 1) }, /sub/],
    [{ jti: 7 }, /jti/],
    [{ jti: "" }, /jti/],
    [{ role: "king" }, /role/],
    [{ role: ["admin"] }, /role/],
    [{ role: null }, /role/],
    [{ read: "blocks" }, /read/],
    [{ read: tooMany }, /read/],
    [{ read: ["blocks", "a*b"] }, /read\[1\]/],
    [{ publish: ["x".repeat(MAX_PATTERN_LENGTH + 1)] }, /publish\[0\]/],
    [{ publish: [{}] }, /publish\[0\]/],
    [{ publish: ["(a+)+$"] }, /publish\[0\]/],
    [{ exp: "soon" }, /exp/],
    [{ iat: "then" }, /iat/],
    [{ nbf: "now" }, /nbf/],
  ];
  for (const [claims, message] of cases) {
    const bad = await sign({ ...good, ...claims });
    await assert.rejects(
      tokens.verify(bad),
      refusal("UNAUTHENTICATED", message, bad),
      JSON.stringify(claims),
    );
  }
  const { length } = tooMany.slice(1);
  const grant = await tokens.verify(
    await sign({
      ...good,
      sub: "x".repeat(MAX_CLAIM_LENGTH),
      read: tooMany.slice(1),
      publish: ["x".repeat(MAX_PATTERN_LENGTH)],
    }),
  );
  assert.equal(grant.read?.length, length);
});

Deno.test("no algorithm, another algorithm or an unknown critical header gets in", async () => {
  const tokens = createTokens({ secrets: [NEW], clock });
  const none = `${base64url({ alg: "none" })}.${base64url(good)}.`;
  for (const alg of ["none", "None", "NONE", "", undefined, 7]) {
    const token = `${base64url({ alg })}.${base64url(good)}.`;
    await assert.rejects(tokens.verify(token), refusal("UNAUTHENTICATED", /./));
  }
  await assert.rejects(tokens.verify(none), refusal("UNAUTHENTICATED", /alg/));
  const secret = new TextEncoder().encode("x".repeat(64));
  const hs512 = await new SignJWT(good).setProtectedHeader({ alg: "HS512" })
    .sign(secret);
  await assert.rejects(
    createTokens({ secrets: ["x".repeat(64)], clock }).verify(hs512),
    refusal("UNAUTHENTICATED", /alg/, hs512),
  );
  const parts = (await sign(good)).split(".");
  const critical = [base64url({ alg: "HS256", crit: ["x"], x: 1 })]
    .concat(parts.slice(1)).join(".");
  await assert.rejects(
    tokens.verify(critical),
    refusal("UNAUTHENTICATED", /./, critical),
  );
});

Deno.test("a tampered token is refused", async () => {
  const tokens = createTokens({ secrets: [NEW], clock });
  const [head, , signature] = (await sign(good)).split(".");
  const forged = `${head}.${
    base64url({ ...good, role: "admin" })
  }.${signature}`;
  await assert.rejects(
    tokens.verify(forged),
    refusal("UNAUTHENTICATED", /signature/, forged),
  );
});

Deno.test("a token at the longest length is looked at, a longer one is not", async () => {
  const tokens = createTokens({ secrets: [NEW], clock });
  await assert.rejects(
    tokens.verify("x".repeat(MAX_TOKEN_LENGTH)),
    refusal("UNAUTHENTICATED", /malformed/),
  );
  await assert.rejects(
    tokens.verify("x".repeat(MAX_TOKEN_LENGTH + 1)),
    refusal("UNAUTHENTICATED", /longer than/),
  );
});

Deno.test("whatever is no token is refused, never a crash", async () => {
  const tokens = createTokens({ secrets: [NEW], clock });
  const part = fc.oneof(
    fc.string(),
    fc.jsonValue().map((value) => {
      try {
        return base64url(value);
      } catch {
        return "";
      }
    }),
    fc.constant(base64url({ alg: "HS256" })),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(fc.string(), fc.array(part).map((parts) => parts.join("."))),
      async (text) => {
        await assert.rejects(
          tokens.verify(text),
          refusal("UNAUTHENTICATED", /^Token /, text),
        );
      },
    ),
    { numRuns: 300 },
  );
});

Deno.test("isWeak() counts bytes, and a weak secret works all the same", async () => {
  assert.equal(isWeak("x".repeat(STRONG_SECRET_BYTES)), false);
  assert.equal(isWeak("é".repeat(STRONG_SECRET_BYTES / 2)), false);
  assert.equal(isWeak("x".repeat(STRONG_SECRET_BYTES - 1)), true);
  const user = { userId: "alice", role: "user" } as const;
  const token = await generateWebSocketToken(user, "your-secret-key", "24h");
  const { verify } = createTokens({ secrets: ["your-secret-key"] });
  assert.equal((await verify(token)).user, "alice");
});

Deno.test("a setting that could never verify is refused at once", () => {
  assert.throws(() => createTokens({}), /neither a secret nor a JWKS URL/);
  assert.throws(
    () => createTokens({ secrets: Array(MAX_SECRETS + 1).fill(NEW) }),
    /more than 8 secrets/,
  );
  createTokens({ secrets: Array(MAX_SECRETS).fill(NEW) });
  for (const jwksUrl of ["nonsense", "file:///etc/keys", ""]) {
    assert.throws(() => createTokens({ jwksUrl }), /JWKS URL is not/);
  }
});

Deno.test("secrets are split at commas, blanks around them dropped", () => {
  assert.deepEqual(secretsOf(" a , b,,c "), ["a", "b", "c"]);
  assert.deepEqual(secretsOf(undefined), []);
  assert.deepEqual(secretsOf(" ,"), []);
});

Deno.test("a life is seconds or a short text, 1 s to a year", () => {
  assert.equal(secondsOf(90), 90);
  assert.equal(secondsOf("90"), 90);
  assert.equal(secondsOf("15m"), 900);
  assert.equal(secondsOf("24h"), 86_400);
  assert.equal(secondsOf("366d"), MAX_TOKEN_LIFE_MS / 1000);
  const bad = ["", "0", "0s", "-1", "1.5h", "24 h", "1y", "367d", "9e9", NaN];
  for (const life of bad) {
    assert.throws(() => secondsOf(life), { name: "RangeError" }, String(life));
  }
});

Deno.test("no token is made that would be refused", async () => {
  const make = (user: object, secret = NEW) =>
    generateWebSocketToken({ ...alice, ...user }, secret, "1h");
  await assert.rejects(make({ role: "king" as Role }), /role/);
  await assert.rejects(make({ userId: "" }), /sub/);
  await assert.rejects(make({ read: ["a*b"] }), /read\[0\]/);
  const long = Array(MAX_PATTERNS).fill("x".repeat(MAX_PATTERN_LENGTH));
  await assert.rejects(make({ read: long, publish: long }), /longer than 8192/);
});

/** A key server that a test can take away. */
function keyServer() {
  const pair = async (alg: string, kid: string) => {
    const { publicKey, privateKey } = await generateKeyPair(alg, {
      extractable: true,
    });
    const jwk = { ...await exportJWK(publicKey), kid, alg };
    return { alg, kid, jwk, privateKey, publicKey };
  };
  const state = {
    keys: [] as Record<string, unknown>[],
    status: 200,
    asked: 0,
  };
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {} },
    () => {
      state.asked++;
      return Response.json({ keys: state.keys }, { status: state.status });
    },
  );
  return Object.assign(state, {
    pair,
    url: `http://127.0.0.1:${server.addr.port}/jwks.json`,
    [Symbol.asyncDispose]: () => server.shutdown(),
  });
}

type Pair = Awaited<ReturnType<ReturnType<typeof keyServer>["pair"]>>;

function signWith({ alg, kid, privateKey }: Pair, claims: object = {}) {
  return new SignJWT({ ...good, ...claims })
    .setProtectedHeader({ alg, kid }).sign(privateKey);
}

Deno.test("a key server's RS256, ES256 and EdDSA keys verify, after one question", async () => {
  await using server = keyServer();
  const pairs = [
    await server.pair("RS256", "r"),
    await server.pair("ES256", "e"),
    await server.pair("EdDSA", "d"),
  ];
  server.keys = pairs.map(({ jwk }) => jwk);
  const tokens = createTokens({ jwksUrl: server.url, clock });
  const made = await Promise.all(pairs.map((pair) => signWith(pair)));
  const grants = await Promise.all(made.map((token) => tokens.verify(token)));
  assert.deepEqual(grants.map(({ user }) => user), ["alice", "alice", "alice"]);
  assert.equal(server.asked, 1);
  assert.equal(tokens.keyServer, "ok");
});

Deno.test("a public key is no secret: the algorithm decides who may answer", async () => {
  await using server = keyServer();
  const pair = await server.pair("RS256", "r");
  server.keys = [pair.jwk, {
    kty: "oct",
    kid: "o",
    alg: "HS256",
    k: base64url(NEW),
  }];
  const asSecret = JSON.stringify(pair.jwk);
  const confused = await sign(good, { secret: asSecret, header: { kid: "r" } });
  const viaServer = createTokens({ jwksUrl: server.url, clock });
  const viaBoth = createTokens({ jwksUrl: server.url, secrets: [NEW], clock });
  await assert.rejects(
    viaServer.verify(confused),
    refusal("UNAUTHENTICATED", /alg/, confused),
  );
  await assert.rejects(
    viaBoth.verify(confused),
    refusal("UNAUTHENTICATED", /signature/, confused),
  );
  const symmetric = await sign(good, { header: { kid: "o" } });
  await assert.rejects(
    viaServer.verify(symmetric),
    refusal("UNAUTHENTICATED", /alg/),
  );
  const asymmetric = await signWith(pair);
  await assert.rejects(
    createTokens({ secrets: [NEW], clock }).verify(asymmetric),
    refusal("UNAUTHENTICATED", /alg/, asymmetric),
  );
  assert.equal((await viaBoth.verify(asymmetric)).user, "alice");
  assert.equal((await viaBoth.verify(await sign(good))).user, "alice");
});

Deno.test("a rotated key verifies at once, and made-up ones share a budget of their own", async () => {
  await using server = keyServer();
  const clock = new ManualClock(NOW);
  const claims = { exp: seconds + 7200 };
  const [first, second, third, unborn] = [
    await server.pair("ES256", "1"),
    await server.pair("ES256", "2"),
    await server.pair("ES256", "3"),
    await server.pair("ES256", "made up"),
  ];
  server.keys = [first.jwk];
  const tokens = createTokens({ jwksUrl: server.url, clock });
  await tokens.verify(await signWith(first, claims));
  // A key that was not named before is fetched at once.
  server.keys = [first.jwk, second.jwk];
  const rotated = await signWith(second, claims);
  const grants = await Promise.all([
    tokens.verify(rotated),
    tokens.verify(rotated),
  ]);
  assert.deepEqual(grants.map(({ user }) => user), ["alice", "alice"]);
  assert.equal(server.asked, 2);

  const madeUp = await signWith(unborn, claims);
  const codes: string[] = [];
  for (let i = 0; i < 20; i++) {
    const error = await tokens.verify(madeUp).catch((error) => error);
    codes.push(error.code);
    if (error.code === "STORE_UNAVAILABLE") assert(error.retryAfterMs >= 1_000);
  }
  const known = JWKS_UNKNOWN_BURST - 1;
  assert.deepEqual(codes, [
    ...Array(known).fill("UNAUTHENTICATED"),
    ...Array(20 - known).fill("STORE_UNAVAILABLE"),
  ]);
  assert.equal(server.asked, 2 + known);

  // Meanwhile no one can know whether a key is new: "retry", not "wrong".
  server.keys = [first.jwk, second.jwk, third.jwk];
  const newest = await signWith(third, claims);
  const refused = await tokens.verify(newest).catch((error) => error);
  assert.equal(refused.code, "STORE_UNAVAILABLE");
  assert(refused.retryAfterMs <= JWKS_COOLDOWN_MS);
  clock.advance(refused.retryAfterMs);
  assert.equal((await tokens.verify(newest)).user, "alice");
  // What the service fetches by itself does not come out of that budget.
  await assert.rejects(
    tokens.verify(madeUp),
    refusal("STORE_UNAVAILABLE", /try again/, madeUp),
  );
  const asked = server.asked;
  clock.advance(JWKS_REFRESH_MS);
  await tokens.verify(newest);
  await until(() => server.asked === asked + 1, "the refresh is asked for");
});

Deno.test("the age of keys is no matter of the wall clock", async () => {
  await using server = keyServer();
  const clock = new ManualClock(NOW);
  const pair = await server.pair("ES256", "1");
  server.keys = [pair.jwk];
  server.status = 500;
  const tokens = createTokens({ jwksUrl: server.url, clock });
  const token = await signWith(pair, { exp: seconds + 7200 });
  await assert.rejects(tokens.verify(token));
  server.status = 200;
  clock.stepWall(-3_600_000);
  clock.advance(JWKS_COOLDOWN_MS);
  assert.equal((await tokens.verify(token)).user, "alice");
});

Deno.test("a token that names no key is refused when several would fit", async () => {
  await using server = keyServer();
  const [one, other] = [
    await server.pair("ES256", "1"),
    await server.pair("ES256", "2"),
  ];
  const token = await new SignJWT(good).setProtectedHeader({ alg: "ES256" })
    .sign(one.privateKey);
  server.keys = [one.jwk];
  const single = createTokens({ jwksUrl: server.url, clock });
  assert.equal((await single.verify(token)).user, "alice");
  server.keys = [one.jwk, other.jwk];
  const several = createTokens({ jwksUrl: server.url, clock });
  await assert.rejects(
    several.verify(token),
    refusal("UNAUTHENTICATED", /names no key \(kid\)/, token),
  );
});

Deno.test("known keys go on verifying while the key server is away, and it is left in peace", async () => {
  await using server = keyServer();
  const clock = new ManualClock(NOW);
  const pair = await server.pair("EdDSA", "1");
  const claims = { exp: seconds + 7200 };
  server.keys = [pair.jwk];
  const tokens = createTokens({ jwksUrl: server.url, clock });
  const token = await signWith(pair, claims);
  await tokens.verify(token);
  server.status = 503;
  clock.advance(JWKS_REFRESH_MS);
  assert.equal((await tokens.verify(token)).user, "alice");
  await until(() => tokens.keyServer === "away", "the refresh fails");
  assert.equal(server.asked, 2);
  const unknown = await signWith(await server.pair("EdDSA", "2"), claims);
  for (let i = 0; i < 20; i++) {
    await assert.rejects(
      tokens.verify(unknown),
      refusal("STORE_UNAVAILABLE", /key server does not answer/, unknown),
    );
    assert.equal((await tokens.verify(token)).user, "alice");
  }
  assert.equal(server.asked, 2);
  server.status = 200;
  clock.advance(JWKS_REFRESH_MS);
  await tokens.verify(token);
  await until(() => tokens.keyServer === "ok", "the refresh succeeds");
});

Deno.test("a key that the server took back stops verifying after the refresh", async () => {
  await using server = keyServer();
  const clock = new ManualClock(NOW);
  const [leaked, fresh] = [
    await server.pair("ES256", "1"),
    await server.pair("ES256", "2"),
  ];
  server.keys = [leaked.jwk];
  const tokens = createTokens({ jwksUrl: server.url, clock });
  const token = await signWith(leaked, { exp: seconds + 7200 });
  await tokens.verify(token);
  server.keys = [fresh.jwk];
  clock.advance(JWKS_REFRESH_MS);
  await tokens.verify(await signWith(fresh, { exp: seconds + 7200 }));
  await assert.rejects(tokens.verify(token), refusal("UNAUTHENTICATED", /kid/));
});

Deno.test("a key server that was away from the start is asked again after the cooldown", async () => {
  await using server = keyServer();
  const clock = new ManualClock(NOW);
  const pair = await server.pair("ES256", "1");
  server.keys = [pair.jwk];
  server.status = 500;
  const tokens = createTokens({ jwksUrl: server.url, clock });
  const token = await signWith(pair, { exp: seconds + 3600 });
  for (let i = 0; i < 3; i++) {
    await assert.rejects(
      tokens.verify(token),
      refusal("STORE_UNAVAILABLE", /key server does not answer/, token),
    );
  }
  assert.equal(server.asked, 1);
  assert.equal(tokens.keyServer, "away");
  server.status = 200;
  clock.advance(JWKS_COOLDOWN_MS);
  assert.equal((await tokens.verify(token)).user, "alice");
});

async function command(args: string[], env: Record<string, string> = {}) {
  const main = new URL("../../cli/token.ts", import.meta.url).href;
  const names = ["JWT_SECRET", "JWT_SECRET_FILE", "JWT_ISSUER", "JWT_AUDIENCE"];
  const rights = [`--allow-env=${names.join()}`, "--allow-read"];
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-prompt", ...rights, main, ...args],
    env: {
      ...Object.fromEntries(names.map((name) => [name, ""])),
      ...env,
    },
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

Deno.test("the token command prints a token, and needs no right but its settings", async () => {
  const made = await command(
    ["--user", "alice", "--role", "publisher", "--expires", "24h"]
      .concat(["--read", "room:team-*", "blocks", "--publish", "blocks"]),
    { JWT_SECRET: `${NEW}, ${OLD}`, JWT_ISSUER: "us", JWT_AUDIENCE: "them" },
  );
  assert.equal(made.stderr, "");
  assert.equal(made.code, 0);
  assert.match(made.stdout, /^[\w-]+\.[\w-]+\.[\w-]+\n$/);
  const tokens = createTokens({
    secrets: [NEW],
    issuer: "us",
    audience: "them",
  });
  const grant = await tokens.verify(made.stdout.trim());
  assert.equal(grant.user, "alice");
  assert.equal(grant.role, "publisher");
  assert.deepEqual(grant.read, ["room:team-*", "blocks"]);
  assert.deepEqual(grant.publish, ["blocks"]);
  assert.equal(grant.expiresAt! - grant.issuedAt!, 86_400_000);
});

Deno.test("the token command takes its secret from a file", async () => {
  const file = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(file, `${NEW}\n`);
    const made = await command(["--user", "a"], { JWT_SECRET_FILE: file });
    assert.equal(made.code, 0, made.stderr);
    const tokens = createTokens({ secrets: [NEW] });
    assert.equal((await tokens.verify(made.stdout.trim())).user, "a");
  } finally {
    await Deno.remove(file);
  }
  const none = await command(["--user", "a"], { JWT_SECRET_FILE: file });
  assert.equal(none.code, 1);
  assert.match(none.stderr, /JWT_SECRET_FILE names no readable secret/);
});

Deno.test("the token command reports errors on stderr, and exits 1", async () => {
  const env = { JWT_SECRET: NEW };
  const cases: [string[], Record<string, string>, RegExp][] = [
    [["--user", "a"], {}, /JWT_SECRET is not set/],
    [["--user", "a", "--role", "king"], env, /choices are anonymous/],
    [["--user", "a", "--expires", "1y"], env, /like 90s, 15m, 24h or 7d/],
    [["--user", "a", "--publish", "a*b"], env, /publish\[0\]/],
    [["--role", "user"], env, /--user/],
    [["--user", "a", "--colour", "red"], env, /unknown option/],
  ];
  const all = await Promise.all(
    cases.map(([args, env]) => command(args, env)),
  );
  all.forEach(({ code, stdout, stderr }, i) => {
    assert.match(stderr, cases[i]![2]);
    assert.match(stderr, /^error: /);
    assert.equal(stdout, "");
    assert.equal(code, 1);
  });
});
