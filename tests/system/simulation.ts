/**
 * A small world that a seed drives: instances on one KV with a link and weather
 * of its own, publishers, and clients that come, go, read slowly and resume.
 * Everything but time, KV, link and sockets is the real thing.
 *
 * @module
 */
import assert from "node:assert/strict";
import { decodePublications } from "../../protocol/decode.ts";
import { idSource } from "../../protocol/envelope.ts";
import { Continuity } from "../../store/continuity.ts";
import { UNBORN_EPOCH } from "../../store/event_log.ts";
import type { Head } from "../../store/event_log.ts";
import { headIn } from "../../store/log_heads.ts";
import { entryIn, ROW_EVENTS, rowIn } from "../../store/rows.ts";
import type { Testimony } from "../../store/witness.ts";
import { ManualClock, pass, randomFrom } from "../fakes/clock.ts";
import { CALM, MemoryKv } from "../fakes/kv.ts";
import type { Fate, MemoryCopy, WrittenRow } from "../fakes/kv.ts";
import { PostOffice } from "../fakes/link.ts";
import { Client, markOf } from "./simulated_client.ts";
import type { Frame } from "./simulated_client.ts";
import { FakeWitness, Instance, MortalClock } from "./simulated_instance.ts";

/** Channels of the world; none has an event in the beginning. */
export const CHANNEL_NAMES = ["blocks", "alerts", "room:a", "room:b"] as const;
/** Most instances alive at a time. */
export const MAX_INSTANCES = 3;
/** Clients in the world. */
export const CLIENTS = 4;
/** Publishers, who choose the same ids. */
export const PUBLISHERS = 3;
/** How long an id is stored at least, with any steps of the clocks, in milliseconds. */
const ID_SURE_MS = 150_000;
/** Most that all wall clocks together are off, in milliseconds. */
const MAX_STEPPED_MS = 200_000;
/** In this time everything must be in order once the weather is calm. */
const RECOVERY_MS = 10_000;

/** One thing that happens. */
export type Step =
  | {
    do: "publish";
    channel: number;
    count: number;
    named: boolean;
    long: boolean;
    publisher: number;
  }
  | { do: "again" }
  /** Other content under an id that its publisher used. */
  | { do: "reuse" }
  | { do: "rest"; ms: number }
  | { do: "kill"; at: number }
  | { do: "start" }
  | { do: "come"; client: number; channel: number; batch: boolean }
  | { do: "go"; client: number }
  | { do: "leave"; client: number; channel: number }
  | { do: "slow"; client: number }
  | { do: "read"; client: number }
  | { do: "storm"; ms: number }
  /** The store is full: it is read, and written no more. */
  | { do: "fill"; ms: number }
  /** A copy of the store is made, with or without what is beside it. */
  | { do: "copy" }
  /** The copy takes the place of the store, under instances that are killed. */
  | { do: "restore"; isWhole: boolean }
  /** A bit of a stored row changes. */
  | { do: "damage"; at: number; bit: number }
  /** A wall clock steps: of all machines and the store, or of one instance. */
  | { do: "step"; at: number | undefined; ms: number };

/** What was asked of an instance, and what came of it. */
interface Publishing {
  readonly body: string;
  readonly publisher: number;
  /** What it used the ids of. */
  readonly reuses?: Publishing | undefined;
  readonly channel: string;
  readonly marks: readonly string[];
  readonly named: boolean;
  readonly since: number;
  outcome: "waiting" | "accepted" | "refused" | "conflict";
  /** Accepted before a copy took the store's place that does not hold it. */
  isUndone: boolean;
}

/** What one run amounted to. */
export interface Tally {
  events: number;
  delivered: number;
  gaps: number;
  refused: number;
  epochs: number;
  restores: number;
  conflicts: number;
  damaged: number;
}

/** The world of one seed. */
export class World {
  readonly clock = new ManualClock();
  readonly kv: MemoryKv;
  readonly office = new PostOffice();
  readonly witness = new FakeWitness(this.clock);
  readonly random: () => number;
  /** Channels that lost events to the bounds of the whole log. */
  readonly evicted = new Set<string>();
  /** Bounds of the whole log, in some worlds. */
  readonly bounds: { maxBytes?: number };
  readonly #instances: Instance[] = [];
  readonly #clients: Client[];
  readonly #publishings: Publishing[] = [];
  readonly #starting = new Set<MortalClock>();
  /** Marks by channel and epoch, in the order of their numbers. */
  readonly #truth = new Map<string, string[]>();
  /** How many of these each took over from the log that it was before. */
  readonly #inherited = new Map<string, number>();
  /** Rows of which a bit changed, by channel and number. */
  readonly #damaged = new Map<string, readonly [number, number]>();
  /** Marks that a restored store does not hold. */
  readonly #undone: string[] = [];
  #copy: { store: MemoryCopy; testimony: Testimony | undefined } | undefined;
  #files = 0;
  #steppedMs = 0;
  #restores = 0;
  #fullUntil = 0;
  readonly #ids = [0, 0, 0];
  #faults: unknown[] = [];
  #stormUntil = 0;
  #calm = false;
  #marks = 0;
  #doubtful = false;

  /**
   * A store that is empty, and one instance.
   *
   * @param seed of everything that happens by chance.
   * @param open the store, whose time is the world's; in memory when absent.
   */
  constructor(
    seed: number,
    open: (clock: ManualClock) => MemoryKv = (clock) => new MemoryKv(clock),
  ) {
    this.kv = open(this.clock);
    this.random = randomFrom(seed);
    this.kv.onCommit = (rows) => this.#witness(rows);
    this.office.notices = this.random() < 0.5;
    this.bounds = this.random() < 0.3 ? { maxBytes: 300_000 } : {};
    this.office.carry = (letter) => {
      const luck = this.random();
      if (luck < 0.12) return;
      for (let copies = luck < 0.2 ? 2 : 1; copies > 0; copies--) {
        const ms = this.random() < 0.5 ? 0 : Math.floor(this.random() * 30);
        this.clock.after(ms, () => letter.deliver());
      }
    };
    this.#clients = Array.from(
      { length: CLIENTS },
      (_, i) => new Client(this, `client${i}`),
    );
    this.#start();
  }

  /** Runs the steps, then looks whether every promise was kept. */
  async run(steps: readonly Step[]): Promise<Tally> {
    try {
      for (const step of steps) {
        this.#do(step);
        await this.#pass(step.do === "rest" ? step.ms : 0);
        this.#check();
      }
      await this.#recover();
    } finally {
      for (const instance of this.#instances) instance.kill();
    }
    this.#judge();
    return {
      events: [...this.#truth.values()].flat().length,
      delivered: this.#clients.reduce((sum, { events }) => sum + events, 0),
      gaps: this.#clients.reduce((sum, { gaps }) => sum + gaps, 0),
      refused:
        this.#publishings.filter(({ outcome }) => outcome === "refused").length,
      epochs: this.#truth.size,
      restores: this.#restores,
      conflicts:
        this.#publishings.filter(({ outcome }) => outcome === "conflict")
          .length,
      damaged: this.#damaged.size,
    };
  }

  #pass(ms: number): Promise<void> {
    return pass(this.clock, ms, () => this.kv.settled());
  }

  /** Remembers what went wrong where it could not be thrown. */
  fail(error: unknown): void {
    this.#faults.push(error);
  }

  /** One of the living instances, if any lives. */
  anyInstance(): Instance | undefined {
    const alive = this.#instances.filter((instance) => instance.alive);
    return alive[Math.floor(this.random() * alive.length)];
  }

  /** Where a channel's log ends in truth. */
  head(channel: string): Head {
    const head = headIn(this.kv.entry(["head", channel]).value);
    assert(head !== "damaged");
    return head;
  }

  /** What stands in the log's history at a place. */
  markAt(channel: string, epoch: string, seq: number): string | undefined {
    return this.#truth.get(`${channel} ${epoch}`)?.[seq - 1];
  }

  /** A position that was taken over stands for the same events. */
  assertSame(
    channel: string,
    after: Head,
    epoch: string,
    where: string,
  ): void {
    if (after.epoch === epoch || after.epoch === UNBORN_EPOCH) return;
    const events = (name: string) =>
      (this.#truth.get(`${channel} ${name}`) ?? []).slice(0, after.seq);
    assert.deepEqual(events(epoch), events(after.epoch), where);
  }

  /** What cannot be read must be damaged, all of it. */
  assertDamaged(channel: string, from: number, to: number): void {
    for (let seq = from; seq <= to; seq++) {
      const isDamaged = [...this.#damaged].some(([name, [first, last]]) =>
        name.startsWith(`${channel} `) && seq >= first && seq <= last
      );
      // Retention may have deleted the row before it.
      const isGone = this.markAt(channel, this.head(channel).epoch, seq) !==
          undefined && !this.#isStored(channel, seq);
      if (!isDamaged && !isGone) {
        this.fail(new Error(`${channel} ${seq} was called unreadable`));
      }
    }
  }

  /** Whether a row that can be read holds a number. */
  #isStored(channel: string, seq: number): boolean {
    for (let last = seq; last < seq + ROW_EVENTS; last++) {
      const { value } = this.kv.entry<Uint8Array>(["log", channel, last, 0]);
      if (value === null || this.#damaged.has(`${channel} ${last}`)) continue;
      const row = rowIn([{ number: 0, bytes: value }]);
      const lines = typeof row === "object" ? row.lines.length : 1;
      return last - lines + 1 <= seq;
    }
    return false;
  }

  /** A gap may name nothing that could still be had. */
  assertGone(
    channel: string,
    epoch: string,
    from: number,
    to: number,
    where: string,
  ): void {
    if (this.head(channel).epoch !== epoch) return;
    for (let seq = from; seq <= to; seq++) {
      assert(!this.#isStored(channel, seq), `${where}: ${seq} is still there`);
    }
  }

  /** What becomes of one operation of any instance. */
  fate(operation: "read" | "commit"): Fate {
    if (this.#calm) return CALM;
    const beforeMs = this.random() < 0.7 ? 0 : Math.floor(this.random() * 12);
    const afterMs = this.random() < 0.7 ? 0 : Math.floor(this.random() * 12);
    const luck = this.random();
    const now = this.clock.monotonic();
    const storm = now < this.#stormUntil;
    if (operation === "commit" && now < this.#fullUntil) {
      return { beforeMs, afterMs, end: "failed" };
    }
    const [failed, lost, locked, hung, late] = storm
      ? [0.4, 0.5, 0.6, 0.65, 0.67]
      : [0.005, 0.02, 0.05, 0.052, 0.053];
    if (luck < failed!) return { beforeMs, afterMs, end: "failed" };
    if (luck < lost!) return { beforeMs, afterMs, end: "lost" };
    if (luck < locked!) return { beforeMs, afterMs, end: "locked" };
    if (luck < hung!) return { beforeMs, afterMs, end: "hung" };
    if (luck < late!) {
      this.#doubtful = true;
      const ms = Math.floor(this.random() * 5_000);
      return { beforeMs: ms, afterMs, end: "late" };
    }
    return { beforeMs, afterMs, end: "ok" };
  }

  #do(step: Step): void {
    if (step.do === "publish") return this.#publish(step);
    if (step.do === "again") return this.#publishAgain();
    if (step.do === "rest") return;
    if (step.do === "kill") {
      const alive = this.#instances.filter((instance) => instance.alive);
      return alive[step.at % Math.max(1, alive.length)]?.kill();
    }
    if (step.do === "start") {
      const alive = this.#instances.filter((instance) => instance.alive);
      if (alive.length < MAX_INSTANCES) this.#start();
      return;
    }
    if (step.do === "storm") {
      this.#doubtful = true;
      this.#stormUntil = this.clock.monotonic() + step.ms;
      return;
    }
    if (step.do === "fill") {
      this.#fullUntil = this.clock.monotonic() + step.ms;
      return;
    }
    if (step.do === "copy") return this.#makeCopy();
    if (step.do === "restore") return this.#restore(step.isWhole);
    if (step.do === "damage") return this.#damage(step);
    if (step.do === "step") return this.#stepClock(step);
    if (step.do === "reuse") return this.#reuse();
    const client = this.#clients[step.client]!;
    if (step.do === "go") return client.cut();
    if (step.do === "slow") return client.slowDown();
    if (step.do === "read") return client.read();
    const channel = CHANNEL_NAMES[step.channel]!;
    if (step.do === "leave") return client.leave(channel);
    if (!client.connected) client.batch = step.batch;
    client.want(channel);
  }

  #check(): void {
    if (this.#faults.length > 0) throw this.#faults[0];
  }

  #publish(
    { channel, count, named, long, publisher }: Extract<
      Step,
      { do: "publish" }
    >,
  ): void {
    const name = CHANNEL_NAMES[channel]!;
    const marks = Array.from({ length: count }, () => `m${++this.#marks}`);
    // Publishers use the same ids, each for its own.
    const messages = marks.map((mark) =>
      message(name, mark, {
        id: named ? String(++this.#ids[publisher]!) : undefined,
        long,
      })
    );
    this.#begin({
      body: JSON.stringify({ messages }),
      channel: name,
      marks,
      named,
      publisher,
    });
  }

  #begin(
    publishing: Omit<Publishing, "since" | "outcome" | "isUndone">,
  ): void {
    const since = this.clock.monotonic();
    this.#publishings.push({
      ...publishing,
      since,
      outcome: "waiting",
      isUndone: false,
    });
    this.#send(this.#publishings.at(-1)!);
  }

  /** A recent named publishing: its ids are still remembered. */
  #recent(
    isWanted: (publishing: Publishing) => boolean,
  ): Publishing | undefined {
    const from = this.clock.monotonic() - ID_SURE_MS;
    return this.#publishings.findLast((publishing) =>
      publishing.named && !publishing.reuses && publishing.since >= from &&
      isWanted(publishing)
    );
  }

  #reuse(): void {
    const reuses = this.#recent(({ marks }) => marks.length === 1);
    if (!reuses) return;
    const mark = `m${++this.#marks}`;
    const [{ id }] = JSON.parse(reuses.body).messages;
    const { channel, publisher } = reuses;
    const messages = [message(channel, mark, { id, long: false })];
    this.#begin({
      body: JSON.stringify({ messages }),
      channel,
      marks: [mark],
      named: true,
      publisher,
      reuses,
    });
  }

  #start(): void {
    const clock = new MortalClock(this.clock);
    const nextId = idSource(this.random);
    const weather = (operation: "read" | "commit") => this.fate(operation);
    const store = this.kv.connect({ clock, weather });
    this.#starting.add(clock);
    const report = () => {};
    Continuity.open({ store, witness: this.witness, clock, nextId, report })
      .then((continuity) => {
        if (!clock.alive) return;
        this.#instances.push(
          new Instance(this, { clock, nextId, store, continuity }),
        );
      }, () => {})
      .finally(() => this.#starting.delete(clock));
  }

  #makeCopy(): void {
    if (this.kv.entry(["witness"]).value === null) return;
    const { testimony } = this.witness;
    this.#copy = { store: this.kv.copy(), testimony };
  }

  /** As an operator does it: all stop, the copy takes the place, all start. */
  #restore(isWhole: boolean): void {
    const copy = this.#copy;
    if (!copy) return;
    // What was written within a second before a crash may lack its mark.
    const version = copy.store.version.toString(16).padStart(20, "0");
    const stamp = this.witness.testimony?.stamp ?? "";
    if (!isWhole && stamp <= version) return;
    for (const instance of this.#instances) instance.kill();
    for (const clock of this.#starting) clock.alive = false;
    const before = CHANNEL_NAMES.map((channel) => this.head(channel));
    this.kv.restore(copy.store);
    if (isWhole) {
      this.witness.file = `file${++this.#files}`;
      const { file } = this.witness;
      this.witness.testimony = copy.testimony && { ...copy.testimony, file };
    }
    this.#copy = undefined;
    this.#restores++;
    for (const [i, channel] of CHANNEL_NAMES.entries()) {
      const { epoch, seq } = this.head(channel);
      const lost = before[i]!;
      const kept = lost.epoch === epoch ? seq : 0;
      const name = `${channel} ${lost.epoch}`;
      const marks = this.#truth.get(name) ?? [];
      const from = Math.max(kept, this.#inherited.get(name) ?? 0);
      this.#undone.push(...marks.slice(from, lost.seq));
    }
    const undone = new Set(this.#undone);
    for (const publishing of this.#publishings) {
      const { marks, outcome } = publishing;
      if (marks.some((mark) => undone.has(mark)) || outcome !== "accepted") {
        publishing.isUndone = true;
      }
    }
    this.#start();
  }

  #damage({ at, bit }: Extract<Step, { do: "damage" }>): void {
    const keys = this.kv.keys(["log"]);
    const key = keys[at % Math.max(1, keys.length)];
    if (!key) return;
    const [, channel, seq] = key as [string, string, number];
    const name = `${channel} ${seq}`;
    const before = this.kv.entry<Uint8Array>(["log", channel, seq, 0]).value;
    const row = before && rowIn([{ number: 0, bytes: before }]);
    const lines = typeof row === "object" && row ? row.lines.length : 1;
    this.#damaged.set(name, this.#damaged.get(name) ?? [seq - lines + 1, seq]);
    this.kv.damage(key, bit);
  }

  #stepClock({ at, ms }: Extract<Step, { do: "step" }>): void {
    if (at === undefined) {
      if (Math.abs(this.#steppedMs + ms) > MAX_STEPPED_MS) return;
      this.#steppedMs += ms;
      // What has expired does not come back with the time.
      this.kv.collect();
      return this.clock.stepWall(ms);
    }
    const alive = this.#instances.filter((instance) => instance.alive);
    const instance = alive[at % Math.max(1, alive.length)];
    if (instance) instance.clock.skewMs = Math.trunc(ms / 10);
  }

  #publishAgain(): void {
    const last = this.#recent(({ outcome }) => outcome !== "accepted") ??
      this.#recent(() => true);
    if (last) this.#send(last);
  }

  #send(publishing: Publishing): void {
    const instance = this.anyInstance();
    if (!instance) return;
    const publications = decodePublications(publishing.body, 1 << 20);
    const { generation } = this.kv;
    const publisher = {
      subject: `publisher${publishing.publisher}`,
      maxRooms: Infinity,
    };
    instance.hub.publish(publications, publisher).then((accepted) => {
      if (this.kv.generation !== generation) return;
      const { reuses } = publishing;
      if (reuses?.outcome === "accepted" && !reuses.isUndone) {
        this.fail(new Error(`${publishing.marks[0]} under a used id accepted`));
      }
      publishing.outcome = "accepted";
      publishing.isUndone = false;
      for (const [i, { channel, epoch, seq }] of accepted.entries()) {
        assert.equal(
          this.markAt(channel, epoch!, seq!),
          publishing.marks[i],
          "accepted, but not in the log",
        );
      }
    }).catch((error) => {
      if (error?.code === "STORE_UNAVAILABLE") {
        if (publishing.outcome === "waiting") publishing.outcome = "refused";
      } else if (error?.code === "ID_CONFLICT") {
        const reusers = this.#publishings.filter(({ reuses }) =>
          reuses === publishing
        );
        // One of two that use an id is too late.
        if (publishing.reuses || reusers.length > 0) {
          if (publishing.outcome !== "accepted") {
            publishing.outcome = "conflict";
          }
        } else this.fail(error);
      } else this.fail(error);
    });
  }

  #witness(rows: readonly WrittenRow[]): void {
    const texts = new Map<string, [string, number, Uint8Array[]]>();
    for (const { key, value } of rows) {
      if (key[0] === "head") this.#witnessHead(key[1] as string, value);
      if (key[0] !== "log") continue;
      this.#damaged.delete(`${key[1]} ${key[2]}`);
      const [, channel, seq] = key as [string, string, number];
      const name = `${channel} ${seq}`;
      const entry = texts.get(name) ?? [channel, seq, []];
      entry[2].push(value as Uint8Array);
      texts.set(name, entry);
    }
    for (const [channel, last, parts] of texts.values()) {
      const row = rowIn(parts.map((bytes, number) => ({ number, bytes })));
      assert(typeof row === "object");
      const { lines, epoch } = row;
      for (const [i, line] of lines.entries()) {
        const { json } = entryIn(line, { channel, epoch: epoch!, seq: 0 });
        const event = JSON.parse(json) as Frame;
        const seq = last - lines.length + 1 + i;
        const name = `${channel} ${event.epoch}`;
        const marks = this.#truth.get(name) ?? [];
        this.#truth.set(name, marks);
        if (marks.length !== seq - 1) {
          this.fail(new Error(`${name}: ${seq} follows ${marks.length}`));
        }
        marks.push(markOf(event.payload));
      }
    }
  }

  /** A log that was restored takes over what it had before. */
  #witnessHead(channel: string, value: unknown): void {
    const head = headIn(value);
    assert(head !== "damaged");
    const [before] = head.earlier;
    const name = `${channel} ${head.epoch}`;
    if (!before || this.#truth.has(name)) return;
    const marks = this.#truth.get(`${channel} ${before.epoch}`) ?? [];
    this.#truth.set(name, marks.slice(0, before.seq));
    this.#inherited.set(name, before.seq);
  }

  async #recover(): Promise<void> {
    this.#calm = true;
    this.office.carry = (letter) => letter.deliver();
    if (!this.anyInstance()) this.#start();
    for (const client of this.#clients) client.read();
    for (let ms = 0;; ms += 500) {
      await this.#pass(500);
      this.#check();
      const complaints = this.#clients.flatMap((client) => {
        const complaint = client.complaint();
        return complaint ? [`${client.name}: ${complaint}`] : [];
      });
      if (complaints.length === 0) return;
      if (ms >= RECOVERY_MS) assert.fail(complaints.join("; "));
    }
  }

  #judge(): void {
    const times = new Map<string, number>();
    for (const [name, marks] of this.#truth) {
      for (const mark of marks.slice(this.#inherited.get(name) ?? 0)) {
        times.set(mark, (times.get(mark) ?? 0) + 1);
      }
    }
    for (const mark of this.#undone) {
      const left = times.get(mark)! - 1;
      if (left === 0) times.delete(mark);
      else times.set(mark, left);
    }
    for (const [mark, count] of times) {
      assert.equal(count, 1, `${mark} stands in the log ${count} times`);
    }
    for (const publishing of this.#publishings) {
      const { outcome, marks, named, isUndone } = publishing;
      if (isUndone) continue;
      const found = marks.filter((mark) => times.has(mark)).length;
      if (outcome === "accepted") assert.equal(found, marks.length);
      // Where a commit hung, or nothing could be read, the publisher cannot know.
      if (outcome === "refused" && !this.#doubtful && !named) {
        assert.equal(found, 0, `${marks[0]} was refused and kept`);
      }
      if (outcome === "conflict") assert.equal(found, 0, "refused and kept");
      assert(found === 0 || found === marks.length, "kept in part");
    }
  }
}

function message(
  channel: string,
  mark: string,
  { id: name, long }: { id: string | undefined; long: boolean },
): Record<string, unknown> {
  const id = name === undefined ? {} : { id: name };
  const timestamp = "2025-08-07T10:00:00.000Z";
  const pad = long ? { pad: "ü".repeat(70_000) } : {};
  if (channel === "blocks") {
    const payload = { blockId: mark, height: 1, timestamp, ...pad };
    return { type: "NEW_BLOCK", ...id, payload };
  }
  if (channel === "alerts") {
    const payload = {
      type: "sim",
      severity: "info",
      message: "m",
      subject: mark,
      ...pad,
    };
    return { type: "ALERT_TRIGGERED", ...id, payload };
  }
  return {
    type: "ROOM_MESSAGE",
    channel,
    ...id,
    payload: { event: mark, ...pad },
  };
}
