/**
 * The mutations, by file. A text must stand in its file exactly once; when the
 * code changes, the list has to follow.
 *
 * @module
 */
import type { Mutation } from "./mutation.ts";

const SECURITY: readonly Mutation[] = [
  {
    fault: "a role may do what needs a higher one",
    file: "security/rights.ts",
    find: "return ROLES.indexOf(role) >= ROLES.indexOf(least);",
    replace: "return ROLES.indexOf(role) >= 0 || least === role;",
    tests: ["tests/security/rights_test.ts"],
  },
  {
    fault: "measurements need no right to read them",
    file: "security/rights.ts",
    find: 'if (right.covers === "metrics") requireReading(principal, METRICS);',
    replace: "",
    tests: ["tests/security/rights_test.ts", "tests/routes/rights_test.ts"],
  },
  {
    fault: "names of rooms are shown without a token",
    file: "security/rights.ts",
    find:
      'return channel.kind !== "room" || principal.identity.isAuthenticated;',
    replace: "return true;",
    tests: ["tests/security/rights_test.ts", "tests/routes/rights_test.ts"],
  },
  {
    fault: "a star between colons covers an empty segment",
    file: "security/patterns.ts",
    find: "if (at === start) return false;",
    replace: "",
    tests: ["tests/security/rights_test.ts"],
  },
  {
    fault: "one that is always allowed can be blocked automatically",
    file: "security/block_list.ts",
    find:
      "if (!address || !this.#allowed.holding(address).next().done) {\n      return undefined;\n    }\n    const bucket",
    replace: "if (!address) return undefined;\n    const bucket",
    tests: ["tests/security/block_list_test.ts"],
  },
  {
    fault: "of several blocks the one that ends first counts",
    file: "security/block_list.ts",
    find: "if (!last || block.until > last.until) last = block;",
    replace: "if (!last || block.until < last.until) last = block;",
    tests: ["tests/security/block_list_test.ts"],
  },
  {
    fault: "an automatic block is not longer the second time",
    file: "security/block_list.ts",
    find: "(this.#set.get(bucket)?.level ?? 0) + 1",
    replace: "1",
    tests: ["tests/security/block_list_test.ts"],
  },
];

const GUARDS: readonly Mutation[] = [
  {
    fault: "content is looked at before rights",
    file: "protocol/decode.ts",
    find: "if (rights) permitted(frame, rights, ref);\n  sound(frame, isJson);",
    replace:
      "sound(frame, isJson);\n  if (rights) permitted(frame, rights, ref);",
    tests: ["tests/protocol/frame_rights_test.ts"],
  },
  {
    fault: "objects of another parser are taken for those of JSON.parse",
    file: "protocol/decode.ts",
    find: "return clientFrame(value, false, maxBytes, rights);",
    replace: "return clientFrame(value, true, maxBytes, rights);",
    tests: ["tests/protocol/decode_messages_test.ts"],
  },
  {
    fault: "what a room's message carries is walked again",
    file: "protocol/messages.ts",
    find: "const AnyData = z.unknown() as z.ZodType<z.core.util.JSONType>;",
    replace: "const AnyData = z.json();",
    tests: ["tests/protocol/decode_messages_test.ts"],
  },
  {
    fault: "a connection's frames are read by rights of another time",
    file: "realtime/session.ts",
    find: "this.#rights = rightsOf(() => this.#principal, {",
    replace: "this.#rights = rightsOf(() => options.principal, {",
    tests: ["tests/realtime/session_test.ts"],
  },
  {
    fault: "one address opens all the rooms there is space for",
    file: "realtime/streams.ts",
    find: "if (share * FREE_PART < free) return undefined;",
    replace: "if (share >= 0) return undefined;",
    tests: ["tests/realtime/streams_test.ts"],
  },
  {
    fault: "a room without space refuses the whole command",
    file: "realtime/subscribe.ts",
    find: 'if (refusal.code !== "TOO_MANY_SUBSCRIPTIONS") throw error;',
    replace: "throw error;",
    tests: ["tests/realtime/streams_test.ts"],
  },
  {
    fault: "a subscription costs one message, whatever it names",
    file: "realtime/prices.ts",
    find: "return Math.floor(count / CHANNELS_PER_MESSAGE);",
    replace: "return count * 0;",
    tests: ["tests/realtime/session_test.ts"],
  },
  {
    fault: "what is read of the log costs nothing",
    file: "realtime/prices.ts",
    find: "return Math.floor(length / READ_LENGTH_PER_MESSAGE);",
    replace: "return length * 0;",
    tests: ["tests/realtime/session_test.ts"],
  },
  {
    fault: "pages of a resume are not waited for",
    file: "realtime/outbox.ts",
    find: "const ms = this.#owner.charge();",
    replace: "const ms = this.#owner.charge() * 0;",
    tests: ["tests/realtime/outbox_test.ts"],
  },
  {
    fault: "a full service counts as the caller's fault",
    file: "protocol/refusals.ts",
    find: "return { ...kind, ...TEMPORARY[this.code] };",
    replace: "return kind;",
    tests: ["tests/realtime/streams_test.ts"],
  },
];

const ROUTES: readonly Mutation[] = [
  {
    fault: "HEAD opens a stream",
    file: "routes/route.ts",
    find: 'if (streams !== undefined && c.req.raw.method === "HEAD") {',
    replace: 'if (streams === "" && c.req.raw.method === "HEAD") {',
    tests: ["tests/routes/http_test.ts"],
  },
  {
    fault: "HEAD upgrades a socket",
    file: "routes/socket.ts",
    find: 'return c.req.raw.method === "GET" &&\n    ',
    replace: "return ",
    tests: ["tests/routes/http_test.ts"],
  },
  {
    fault: "an unknown argument is ignored",
    file: "routes/input.ts",
    find: "if (!known.includes(name)) {",
    replace: 'if (name === "") {',
    tests: ["tests/routes/http_test.ts"],
  },
  {
    fault: "the last of two equal arguments counts",
    file: "routes/input.ts",
    find:
      'if (values.has(name)) throw badArgument(code, name, "is there twice");',
    replace: "",
    tests: ["tests/routes/http_test.ts"],
  },
  {
    fault: "a host in the target is not checked",
    file: "routes/http.ts",
    find: "if ((!host || HOST.test(host)) && HOST.test(target)) return;",
    replace: "if (!host || HOST.test(host)) return;",
    tests: ["tests/routes/http_test.ts"],
  },
  {
    fault: "a malformed Authorization passes for none",
    file: "routes/http.ts",
    find: "if (token !== undefined) return token;\n  throw",
    replace: "if (token !== undefined || header) return token;\n  throw",
    tests: ["tests/routes/http_test.ts"],
  },
  {
    fault: "what a foreign page does counts against its visitor",
    file: "routes/offences.ts",
    find: "if (isCrossSite || isLoopback(ip)) return;",
    replace: "if (isLoopback(ip) && isCrossSite !== null) return;",
    tests: ["tests/routes/http_test.ts"],
  },
  {
    fault: "a user's token passes an automatic block",
    file: "routes/gate.ts",
    find: "return by === AUTOMATIC && isTrusted(caller);",
    replace: "return by === AUTOMATIC && caller.identity.isAuthenticated;",
    tests: ["tests/routes/http_test.ts"],
  },
  {
    fault: "a publisher's token passes a block by hand",
    file: "routes/gate.ts",
    find:
      'if (block.by === AUTOMATIC && c.req.header("authorization")) {\n      const principal = await this.#known(c);\n      if (principal && passes(block, principal)) return principal;',
    replace:
      'if (c.req.header("authorization")) {\n      const principal = await this.#known(c);\n      if (principal && isTrusted(principal)) return principal;',
    tests: ["tests/routes/http_test.ts"],
  },
  {
    fault: "pages and paths that do not exist cost nothing",
    file: "routes/gate.ts",
    find: 'if (!passed) this.#budgets.take(c, "http", visitor);',
    replace: "",
    tests: ["tests/routes/http_test.ts"],
  },
  {
    fault: "a route that asks for no right is open where a token is required",
    file: "routes/gate.ts",
    find:
      "const { requireAuth } = this.#parts;\n    requireRight(name, principal, { requireAuth });\n    return principal;",
    replace: "return principal;",
    tests: ["tests/routes/rights_test.ts"],
  },
  {
    fault: "an address leaves unread what it likes",
    file: "routes/unread.ts",
    find: "each: MAX_UNREAD_BYTES_PER_ADDRESS,",
    replace: "each: Infinity,",
    tests: ["tests/routes/unread_test.ts"],
  },
  {
    fault: "a reader that stopped keeps its answer",
    file: "routes/unread.ts",
    find: "      end();\n      controller.close();\n    });",
    replace: "    });",
    tests: ["tests/routes/unread_test.ts"],
  },
  {
    fault: "a refused order is recorded as done",
    file: "routes/operator.ts",
    find: "securityLog.record({ ...action, ...refused, reason, by });",
    replace: 'securityLog.record({ ...action, reason: "done", by });',
    tests: ["tests/routes/admin_test.ts"],
  },
  {
    fault: "made-up keys are fetched as often as they come",
    file: "security/key_server.ts",
    find: ": this.#unknown.take();",
    replace: ": 0;",
    tests: ["tests/security/tokens_test.ts"],
  },
  {
    fault: "a short secret starts in production",
    file: "server/settings.ts",
    find: "if (!dev && JWT_SECRET.some(isWeak)) {",
    replace: "if (dev && JWT_SECRET.some(isWeak)) {",
    tests: ["tests/server/settings_test.ts"],
  },
];

const STORE: readonly Mutation[] = [
  {
    fault: "what was read back lowers a count",
    file: "store/stored_counter.ts",
    find: "count.known = Math.max(count.known, value);",
    replace: "count.known = value;",
    tests: [
      "tests/security/rate_limit_test.ts",
      "tests/store/stored_counter_test.ts",
    ],
  },
  {
    fault: "an older read undoes what is not stored yet",
    file: "store/stored_set.ts",
    find: "      this.#meanwhile.set(key, value);\n    }\n    this.#loading",
    replace: "      void [key, value];\n    }\n    this.#loading",
    tests: ["tests/store/stored_set_test.ts"],
  },
  {
    fault: "keys of a group are not counted",
    file: "store/commit_size.ts",
    find: "this.#keyBytes += keyBytes;",
    replace: "this.#keyBytes = keyBytes;",
    tests: ["tests/store/event_log_test.ts"],
  },
  {
    fault: "channels of a group are not counted",
    file: "store/commit_size.ts",
    find: "for (const channel of channels) this.#channels.add(channel);",
    replace:
      "if (this.#channels.size === 0) channels.forEach((each) => this.#channels.add(each));",
    tests: ["tests/store/event_log_test.ts"],
  },
  {
    fault: "the trim runs once and never again",
    file: "store/log_retention.ts",
    find:
      "    this.#running = this.#run().finally(() => {\n      this.#running = undefined;\n      this.#start();\n    });",
    replace: "    this.#running = this.#run();",
    tests: ["tests/store/event_log_test.ts"],
  },
  {
    fault: "an id is another publisher's, too",
    file: "store/id_memory.ts",
    find: "return JSON.stringify([channel, publisher?.subject, id]);",
    replace: "return JSON.stringify([channel, publisher && 1, id]);",
    tests: ["tests/store/event_log_test.ts"],
  },
  {
    fault: "an id is remembered beyond its time",
    file: "store/id_memory.ts",
    find: "if (!value || value.until <= clock.now()) continue;",
    replace: "if (!value) continue;",
    tests: ["tests/store/event_log_test.ts"],
  },
  {
    fault: "a lease is taken from one who renews it",
    file: "store/stored_lease.ts",
    find: "this.#seen = { versionstamp, since: now };",
    replace: "this.#seen ??= { versionstamp, since: now };",
    tests: ["tests/store/stored_lease_test.ts"],
  },
  {
    fault: "a holder goes on until others may begin",
    file: "store/stored_lease.ts",
    find: "until - this.#ttlMs * GUARD_PART - this.#clock.monotonic()",
    replace: "until - this.#clock.monotonic()",
    tests: ["tests/store/stored_lease_test.ts"],
  },
  {
    fault: "a busy store is one that failed",
    file: "store/deno_kv.ts",
    find: 'error.message.includes("locked")',
    replace: 'error.message.includes("unlocked")',
    tests: ["tests/store/deno_kv_test.ts"],
  },
];

const REALTIME: readonly Mutation[] = [
  {
    fault: "channels being opened do not count as open",
    file: "realtime/streams.ts",
    find: "return this.#open.size + this.#opening.size;",
    replace: "return this.#open.size;",
    tests: ["tests/realtime/streams_test.ts"],
  },
  {
    fault: "a refresh with a narrower token ends nothing",
    file: "realtime/session.ts",
    find:
      'this.#reply("refreshed", { expiresAt: expiresAt! }, ref);\n    this.#leaveForbidden();',
    replace: 'this.#reply("refreshed", { expiresAt: expiresAt! }, ref);',
    tests: ["tests/realtime/session_test.ts"],
  },
  {
    fault: "a refresh may change the user",
    file: "realtime/session.ts",
    find: "if (principal.identity.user !== this.identity.user) {",
    replace: "if (principal.identity.user === undefined) {",
    tests: ["tests/realtime/session_test.ts"],
  },
  {
    fault: "an event that came early is lost",
    file: "realtime/stream.ts",
    find: "if (this.#held.size < MAX_HELD) this.#held.set(seq, entry);",
    replace: "",
    tests: ["tests/realtime/stream_test.ts"],
  },
  {
    fault: "what arrives during a pass makes other frames",
    file: "realtime/stream.ts",
    find: "if (!this.#round) this.#until = this.#seq;",
    replace: "this.#until = this.#seq;",
    tests: ["tests/realtime/stream_test.ts"],
  },
  {
    fault: "a pass delivers more than a frame",
    file: "realtime/stream.ts",
    find: "this.#until = endOfFrame(kept, this.#seq, this.#entryAt);",
    replace: "this.#until = kept >= 0 ? this.#seq : kept;",
    tests: ["tests/realtime/stream_test.ts"],
  },
  {
    fault: "replies wait although frames are not joined any more",
    file: "realtime/sink.ts",
    find: "if (!batch) this.flush();",
    replace: "",
    tests: ["tests/realtime/outbox_test.ts"],
  },
  {
    fault: "a wall clock that stands still stops the windows of a limit",
    file: "store/stored_counter.ts",
    find: "this.#reading.wall = NaN;",
    replace: "",
    tests: ["tests/store/stored_counter_test.ts"],
  },
  {
    fault: "publishers outpace delivery",
    file: "realtime/delivery.ts",
    find: "if (!this.#isCrowded) return undefined;",
    replace: "if (!this.#crowded) return undefined;",
    tests: ["tests/realtime/delivery_test.ts"],
  },
  {
    fault: "the hub accepts more than it can deliver",
    file: "realtime/hub.ts",
    find: "() => delivery.ready(),",
    replace: "undefined,",
    tests: ["tests/realtime/hub_test.ts"],
  },
  {
    fault: "commits do not wait for their receivers",
    file: "store/log_writer.ts",
    find: "if (!waits) return;",
    replace: "if (waits || !waits) return;",
    tests: ["tests/store/event_log_contract_test.ts"],
  },
  {
    fault: "each client has its own frames of a page",
    file: "realtime/feed.ts",
    find: "framesOfPages.set(page, frames);",
    replace: "",
    tests: ["tests/realtime/shared_pages_test.ts"],
  },
  {
    fault: "subscribers at other places share a frame",
    file: "realtime/shared_frames.ts",
    find: "it.after === after && it.codec === codec",
    replace: "it.codec === codec",
    tests: ["tests/realtime/stream_test.ts"],
  },
  {
    fault: "codecs share a frame",
    file: "realtime/shared_frames.ts",
    find: "it.after === after && it.codec === codec &&",
    replace: "it.after === after &&",
    tests: ["tests/realtime/stream_test.ts", "tests/realtime/codec_test.ts"],
  },
  {
    fault: "a position in another log is taken for one in this",
    file: "realtime/subscribe.ts",
    find: "if (after.epoch !== epoch && !isBorn) {",
    replace: "if (after.epoch === undefined && !isBorn) {",
    tests: ["tests/realtime/subscribe_test.ts"],
  },
  {
    fault: "what retention removed is not reported",
    file: "realtime/subscribe.ts",
    find: "if (after.seq >= floor) {",
    replace: "if (after.seq >= 0) {",
    tests: ["tests/realtime/subscribe_test.ts"],
  },
  {
    fault: "a client that stalls is never closed",
    file: "realtime/outbox.ts",
    find: "if (now - this.#progressAt >= STALL_MS) {",
    replace: "if (now - this.#progressAt >= Infinity) {",
    tests: ["tests/realtime/outbox_test.ts"],
  },
  {
    fault: "a full socket is fed on",
    file: "realtime/outbox.ts",
    find: "if (to.seq + 1 < stream.first || this.isFull) return false;",
    replace: "if (to.seq + 1 < stream.first) return false;",
    tests: ["tests/realtime/outbox_test.ts"],
  },
  {
    fault: "a lost post is not noticed",
    file: "realtime/broadcast_link.ts",
    find: "data.number !== before + 1",
    replace: "data.number === undefined",
    tests: ["tests/realtime/link_test.ts"],
  },
  {
    fault: "a quiet subscription is taken to have missed what others received",
    file: "realtime/stream.ts",
    find: "cursor.seq = Math.max(cursor.seq, this.#flushed);",
    replace: "",
    tests: ["tests/realtime/filtered_test.ts"],
  },
  {
    fault: "a new subscription is taken for one that keeps up",
    file: "realtime/outbox.ts",
    find: "    subscription.behind = true;\n    subscription.join();",
    replace: "    subscription.join();",
    tests: ["tests/realtime/filtered_test.ts"],
  },
  {
    fault:
      "a leap of the stream moves quiet subscriptions past what they missed",
    file: "realtime/stream.ts",
    find: "if (this.#moved || cursor.behind ||",
    replace: "if (cursor.behind ||",
    tests: ["tests/realtime/filtered_test.ts"],
  },
  {
    fault: "an edit of a filter skips what the old one still lets through",
    file: "realtime/outbox.ts",
    find: "    if (!subscription.behind) this.advance(subscription);\n",
    replace: "",
    tests: ["tests/realtime/filtered_test.ts"],
  },
  {
    fault: "pages of the log are read for a filter without charge",
    file: "realtime/outbox.ts",
    find: "if (this.isFull || this.#mustWait()) break;",
    replace: "if (this.isFull) break;",
    tests: ["tests/realtime/filtered_test.ts"],
  },
];

const CHAIN: readonly Mutation[] = [
  {
    fault: "a block that left is taken for one that was not published yet",
    file: "chain/spine.ts",
    find: 'if (this.#gone.has(blockId)) return "gone";',
    replace: "",
    tests: ["tests/chain/transaction_state_test.ts"],
  },
  {
    fault: "what a reset voided stands where it was forgotten",
    file: "chain/spine.ts",
    find: 'if (height > this.#voidAbove) return "gone";',
    replace: "",
    tests: ["tests/chain/spine_test.ts"],
  },
  {
    fault: "what a publisher says of another's transaction takes its share",
    file: "chain/transactions.ts",
    find: "owner: before?.owner ?? owner",
    replace: "owner",
    tests: ["tests/chain/equal_parts_test.ts"],
  },
  {
    fault: "of those who share a memory the one who holds least gives way",
    file: "chain/equal_parts.ts",
    find: "size(share) > size(most)",
    replace: "size(share) < size(most)",
    tests: ["tests/chain/equal_parts_test.ts"],
  },
  {
    fault: "the heights that a refusal names are not those that are filled",
    file: "sources/retrying_publisher.ts",
    find: "missing: error.missing ?? before(message)",
    replace: "missing: before(message)",
    tests: ["tests/sources/parent_unknown_test.ts"],
  },
  {
    fault: "what is final counts before all of its block was received",
    file: "client/settled_fold.ts",
    find: "if (!firm || !isWhole) return;",
    replace: "if (!firm) return;",
    tests: ["tests/client/settled_fold_test.ts"],
  },
];

/** All of them. */
export const MUTATIONS: readonly Mutation[] = [
  ...SECURITY,
  ...GUARDS,
  ...ROUTES,
  ...STORE,
  ...REALTIME,
  ...CHAIN,
];
