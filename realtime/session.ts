/**
 * One client on a socket, as a state machine: opened -> connected -> closed.
 *
 * @module
 */
import { decode, glance } from "../protocol/decode.ts";
import type { ClientFrame, Command } from "../protocol/decode.ts";
import type { CommandPayload, Subscription } from "../protocol/commands.ts";
import { encodeReply, encodeTest, instantText } from "../protocol/encode.ts";
import type { FrameOptions } from "../protocol/encode.ts";
import { Refusal } from "../protocol/refusals.ts";
import type { RefusalCode } from "../protocol/refusals.ts";
import type { Identity, ReplyPayload, ReplyType } from "../protocol/replies.ts";
import { requireRight } from "../security/principal.ts";
import type { Principal } from "../security/principal.ts";
import type { Clock } from "../platform/clock.ts";
import type { History } from "./history.ts";
import { requireChannel } from "./hub.ts";
import type { Hub } from "./hub.ts";
import { Outbox } from "./outbox.ts";
import type { Peer } from "./outbox.ts";
import type { Connection } from "./sessions.ts";
import { follow, MAX_SUBSCRIPTIONS } from "./subscription.ts";

/** How often a client should be heard of, in milliseconds. */
export const HEARTBEAT_MS = 25_000;
/** Most commands of one connection waiting for their turn or answer. */
export const MAX_COMMANDS_IN_FLIGHT = 256;
/**
 * Most publishes of one connection waiting to be stored: a fifth of what the
 * log lets wait in all.
 */
export const MAX_PUBLISHES_IN_FLIGHT = 4_096;
/** Refused frames in excess of good ones after which a connection ends. */
export const MAX_FAULTS = 256;
/** How long a client may stay unauthenticated where that is required. */
export const AUTH_DEADLINE_MS = 10_000;
/** How long before its end a token's client is warned, in milliseconds. */
export const TOKEN_WARNING_MS = 60_000;
/** Longest wait of one timer, in milliseconds; longer ones are made of many. */
const MAX_TIMER_MS = 24 * 3_600_000;

/** The part of a WebSocket that a session uses. */
export interface Socket extends Peer {
  /** Ends the connection; does nothing once it is ending. */
  close(code?: number, reason?: string): void;
}

/** What sessions need of the machine around them. */
export interface SessionParts {
  /** Publishes and opens channels. */
  hub: Hub;
  /** Answers questions about the past. */
  history: History;
  /** Time, for tokens and stalls. */
  clock: Clock;
  /** Names for sessions and frames. */
  nextId: (now: number) => string;
  /** Longest frame accepted, in bytes. */
  maxMessageBytes: number;
  /** Changes when any schema of the protocol does. */
  schema: string;
  /** Whether strangers may do nothing but `connect`. */
  requireAuth: boolean;
  /** This service's own measurements. */
  measure: (type: string | undefined) => Promise<Record<string, unknown>>;
  /** Hears of bugs; never of refusals. */
  report: (error: unknown) => void;
  /** Hears of refusals, by code. */
  refused?: (code: RefusalCode) => void;
  /** Hears of every frame received. */
  received?: () => void;
  /** Hears of every socket that opened, so many milliseconds after the request. */
  opened?: (ms: number) => void;
  /** Hears of every client that wanted to connect and was sent away. */
  failed?: () => void;
  /** Hears of every command and publish, by the name of its session. */
  commanded?: ((session: string, type: string) => void) | undefined;
}

/** What watches over one connection. */
export interface SessionGuard {
  /**
   * Milliseconds until the caller's next frame is admitted; 0: it is now.
   *
   * @param count how many messages are in it; 1 when omitted.
   */
  admit(principal: Principal, count?: number): number;
  /**
   * Finds out who a token speaks for.
   * @throws {Refusal} `UNAUTHENTICATED`, `TOKEN_EXPIRED`, or
   * `STORE_UNAVAILABLE` while that cannot be told.
   */
  authenticate(token: string): Promise<Principal>;
  /** Hears of refusals; `isFinal`: the connection ends for abuse. */
  refused(code: RefusalCode, isFinal: boolean): void;
}

/** What is known of one connection from the outset. */
export interface SessionOptions {
  /** Who it is before any `connect`. */
  principal: Principal;
  /** Watches over it. */
  guard: SessionGuard;
}

/** One client. */
export class Session implements Connection {
  /** Unique name. */
  readonly id: string;
  /** When it began, in epoch milliseconds. */
  readonly since: number;
  readonly #socket: Socket;
  readonly #parts: SessionParts;
  readonly #guard: SessionGuard;
  readonly #outbox: Outbox;
  readonly #queue: ClientFrame[] = [];
  readonly #timers = new Map<"auth" | "token", Disposable>();
  #principal: Principal;
  #client: string | undefined;
  /** Whether the handshake is over: until then a socket can neither send nor close. */
  #isOpen = false;
  /** How it was to be closed meanwhile. */
  #closing: RefusalCode | undefined;
  #state: "opened" | "connected" | "closed" = "opened";
  #busy = false;
  #publishing = 0;
  #faults = 0;
  #onEnd: (why?: RefusalCode | number) => void = () => {};

  /** Waits for {@link open}. */
  constructor(socket: Socket, parts: SessionParts, options: SessionOptions) {
    this.#socket = socket;
    this.#parts = parts;
    this.#principal = options.principal;
    this.#guard = options.guard;
    this.since = parts.clock.now();
    this.id = parts.nextId(this.since);
    this.#outbox = new Outbox(socket, parts.hub.outboxParts, () => {
      this.disconnect("SLOW_CONSUMER");
    });
  }

  /** Who the client is. */
  get identity(): Identity {
    return this.#principal.identity;
  }

  /** Name and version of the client program, as it said itself. */
  get client(): string | undefined {
    return this.#client;
  }

  /** The channels it follows, where it stands in them and how far behind. */
  get positions(): ReturnType<Outbox["positions"]> {
    return this.#outbox.positions();
  }

  /** Whether its token was revoked since. */
  get isRevoked(): boolean {
    return this.#principal.isRevoked();
  }

  /** Names who hears, once, that the session has ended. */
  onEnd(listener: (why?: RefusalCode | number) => void): void {
    this.#onEnd = listener;
  }

  /** The socket is open: greets, unless the client must say who it is first. */
  open(): void {
    if (!this.#begin()) return;
    if (this.#parts.requireAuth && !this.identity.isAuthenticated) {
      this.#timer("auth", AUTH_DEADLINE_MS, () => {
        this.#refuse(
          new Refusal("UNAUTHENTICATED", "Say connect with a token first"),
        );
        this.#close("UNAUTHENTICATED");
      });
      return;
    }
    this.#welcome(undefined);
    this.#become(this.#principal);
  }

  /** Says why the connection cannot be, and ends it. */
  reject(refusal: Refusal): void {
    if (!this.#begin()) return;
    this.#parts.failed?.();
    this.#refuse(refusal);
    this.#close(refusal.code);
  }

  /** The handshake is over; whoever was sent away during it, goes. */
  #begin(): boolean {
    this.#isOpen = true;
    if (this.#closing !== undefined) this.#hangUp(this.#closing);
    return this.#state !== "closed";
  }

  /**
   * Handles one incoming frame. Never throws: an error that escaped a socket's
   * event handler would end the isolate and everyone on it.
   */
  receive(data: unknown): void {
    if (this.#state === "closed") return;
    try {
      this.#parts.received?.();
      const waitMs = this.#guard.admit(this.#principal);
      if (waitMs > 0) throw rateLimited(waitMs, glance(data));
      const frame = decode(data, this.#parts.maxMessageBytes);
      if (frame.kind === "publish" && frame.publications.length > 1) {
        const more = frame.publications.length - 1;
        const waitMs = this.#guard.admit(this.#principal, more);
        if (waitMs > 0) throw rateLimited(waitMs, frame.id);
      }
      if (this.#faults > 0) this.#faults--;
      this.#take(frame);
    } catch (error) {
      this.#refuse(Refusal.of(error));
    }
  }

  /** Tells the client to come back later, elsewhere. */
  drain(retryInMs: number): void {
    this.#say("draining", { retryInMs });
  }

  /** Says `why`, if given, and ends the connection with the code's close. */
  disconnect(code: RefusalCode, why?: string): void {
    if (this.#state === "closed") return;
    this.#parts.refused?.(code);
    if (why !== undefined) this.#say("error", { code, message: why });
    this.#close(code);
  }

  /**
   * The socket has closed, or is as good as: lets go of everything.
   *
   * @param why a refusal, or the close code of a client that left.
   */
  end(why?: RefusalCode | number): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    for (const timer of this.#timers.values()) timer[Symbol.dispose]();
    this.#timers.clear();
    this.#queue.length = 0;
    this.#outbox.close();
    this.#onEnd(why);
  }

  /** One at a time and in order; most are done at once. */
  #take(frame: ClientFrame): void {
    if (
      this.#queue.length >= MAX_COMMANDS_IN_FLIGHT ||
      this.#publishing >= MAX_PUBLISHES_IN_FLIGHT
    ) {
      throw new Refusal(
        "RATE_LIMITED",
        "Too many commands wait for their answer; send more slowly",
        { ref: frame.id, retryAfterMs: 1_000 },
      );
    }
    if (this.#busy) this.#queue.push(frame);
    else this.#run(frame);
  }

  #run(frame: ClientFrame): void {
    try {
      const work = this.#handle(frame);
      if (work) this.#wait(work, frame);
    } catch (error) {
      this.#refuse(Refusal.of(error), frame.id);
    }
  }

  async #wait(work: Promise<void>, frame: ClientFrame): Promise<void> {
    this.#busy = true;
    try {
      await work;
    } catch (error) {
      this.#refuse(Refusal.of(error), frame.id);
    }
    this.#busy = false;
    while (!this.#busy && this.#queue.length > 0) {
      this.#run(this.#queue.shift()!);
    }
  }

  #handle(frame: ClientFrame): Promise<void> | void {
    this.#parts.commanded?.(
      this.id,
      frame.kind === "command" ? frame.type : frame.kind,
    );
    if (this.#state === "opened" && !isOpenToAll(frame)) {
      this.#requireIdentity();
    }
    if (frame.kind === "publish") return this.#publish(frame);
    if (frame.kind === "test") {
      return this.#outbox.say(
        encodeTest(frame.payload, this.#envelope(frame.id)),
      );
    }
    return this.#obey(frame);
  }

  #obey(command: Command): Promise<void> | void {
    const { id } = command;
    switch (command.type) {
      case "ping":
        return this.#pong(id);
      case "connect":
        return this.#connect(command.payload, id);
      case "subscribe":
        return this.#subscribe(command.payload, id);
      case "unsubscribe":
        return this.#unsubscribe(command.payload, id);
      case "refresh":
        return this.#refresh(command.payload.token, id);
      case "request_metrics":
        return this.#requestMetrics(command.payload.type, id);
      case "request_data":
        return this.#requestData(command.payload.key, id);
      case "query":
        return this.#query(command.payload, id);
    }
  }

  #pong(ref: string | undefined): void {
    const now = this.#parts.clock.now();
    this.#say("pong", { serverTime: instantText(now) }, ref, now);
  }

  async #connect(
    { auth, client, batch }: CommandPayload<"connect">,
    ref: string | undefined,
  ): Promise<void> {
    if (auth) {
      const principal = await this.#authenticate(auth.token, ref);
      if (!principal || this.#state === "closed") return;
      this.#become(principal);
    }
    this.#requireIdentity();
    this.#client = client;
    this.#outbox.batch = batch ?? false;
    this.#welcome(ref);
    this.#leaveForbidden();
  }

  /**
   * A client that must say who it is, and cannot for no fault of its own, is
   * sent away to come back, rather than closed for good at the deadline.
   */
  async #authenticate(
    token: string,
    ref: string | undefined,
  ): Promise<Principal | undefined> {
    try {
      return await this.#guard.authenticate(token);
    } catch (error) {
      const refusal = Refusal.of(error);
      const isOurFault = refusal.kind.http >= 500;
      if (this.#state !== "opened" || !isOurFault) throw refusal;
      this.#refuse(refusal, ref);
      this.#close(refusal.code);
      return undefined;
    }
  }

  async #refresh(token: string, ref: string | undefined): Promise<void> {
    const principal = await this.#guard.authenticate(token);
    if (this.#state === "closed") return;
    if (principal.identity.user !== this.identity.user) {
      throw new Refusal("FORBIDDEN", "A refresh cannot change the user");
    }
    this.#become(principal);
    const { expiresAt } = principal.identity;
    this.#say("refreshed", { expiresAt: expiresAt! }, ref);
    this.#leaveForbidden();
  }

  /** Another token may allow less than the one before. */
  #leaveForbidden(): void {
    const lost = [...this.positions].map(({ channel }) => channel)
      .filter((name) => !this.#principal.mayRead(requireChannel(name)));
    for (const name of lost) this.#outbox.detach(name);
    if (lost.length > 0) this.#say("unsubscribed", { channels: lost });
  }

  async #subscribe(
    { channels }: CommandPayload<"subscribe">,
    ref: string | undefined,
  ): Promise<void> {
    await follow(channels.map(asSubscription), {
      hub: this.#parts.hub,
      outbox: this.#outbox,
      principal: this.#principal,
      isOpen: () => this.#state !== "closed",
      answer: (payload) => this.#say("subscribed", payload, ref),
      tellGap: (payload) => this.#say("gap", payload),
    });
  }

  #unsubscribe(
    { channels }: CommandPayload<"unsubscribe">,
    ref: string | undefined,
  ): void {
    const left = channels.map((name) => requireChannel(name).name)
      .filter((name) => this.#outbox.detach(name));
    this.#say("unsubscribed", { channels: left }, ref);
  }

  async #requestMetrics(
    type: string | undefined,
    ref: string | undefined,
  ): Promise<void> {
    const metrics = await this.#parts.measure(type);
    const asked = type === undefined ? {} : { type };
    this.#say("metrics_response", { ...asked, metrics }, ref);
  }

  async #requestData(key: string, ref: string | undefined): Promise<void> {
    const data = await this.#parts.history.latest(key, this.#principal);
    this.#say("data_response", { key, data }, ref);
  }

  async #query(
    query: CommandPayload<"query">,
    ref: string | undefined,
  ): Promise<void> {
    const result = await this.#parts.history.query(query, this.#principal);
    this.#say("query_result", result, ref);
  }

  /** Hands over in order, but does not keep what follows waiting. */
  #publish(
    { publications, id: ref }: Extract<ClientFrame, { kind: "publish" }>,
  ): void {
    requireRight(this.#principal, publications);
    this.#publishing++;
    this.#parts.hub.publish(publications)
      .then((accepted) => this.#say("published", { accepted }, ref))
      .catch((error) => this.#refuse(Refusal.of(error), ref))
      .finally(() => this.#publishing--);
  }

  #requireIdentity(): void {
    if (!this.#parts.requireAuth || this.identity.isAuthenticated) return;
    throw new Refusal("UNAUTHENTICATED", "Say connect with a token first");
  }

  #become(principal: Principal): void {
    this.#principal = principal;
    this.#timers.get("token")?.[Symbol.dispose]();
    if (principal.expiresAt !== undefined) {
      this.#watchToken(principal.expiresAt, false);
    }
  }

  #watchToken(expiresAt: number, warned: boolean): void {
    const left = expiresAt - this.#parts.clock.now();
    if (left <= 0) {
      this.#refuse(new Refusal("TOKEN_EXPIRED"));
      this.#close("TOKEN_EXPIRED");
      return;
    }
    const due = left <= TOKEN_WARNING_MS;
    if (due && !warned) this.#say("token_expiring", { inMs: left });
    const wait = due ? left : left - TOKEN_WARNING_MS;
    this.#timer("token", Math.min(wait, MAX_TIMER_MS), () => {
      this.#watchToken(expiresAt, due);
    });
  }

  #welcome(ref: string | undefined): void {
    this.#state = "connected";
    this.#timers.get("auth")?.[Symbol.dispose]();
    const now = this.#parts.clock.now();
    this.#say(
      "connected",
      {
        sessionId: this.id,
        serverTime: instantText(now),
        identity: this.identity,
        heartbeatMs: HEARTBEAT_MS,
        limits: {
          maxMessageBytes: this.#parts.maxMessageBytes,
          maxSubscriptions: MAX_SUBSCRIPTIONS,
          maxCommandsInFlight: MAX_COMMANDS_IN_FLIGHT,
        },
        schema: this.#parts.schema,
      },
      ref,
      now,
    );
  }

  #timer(name: "auth" | "token", ms: number, work: () => void): void {
    this.#timers.get(name)?.[Symbol.dispose]();
    this.#timers.set(name, this.#parts.clock.after(ms, work));
  }

  #envelope(
    ref: string | undefined,
    now: number = this.#parts.clock.now(),
  ): FrameOptions {
    return { id: this.#parts.nextId(now), now, ref };
  }

  #say<Type extends ReplyType>(
    type: Type,
    payload: ReplyPayload<Type>,
    ref?: string,
    now?: number,
  ): void {
    if (this.#state === "closed" || !this.#isOpen) return;
    this.#outbox.say(encodeReply(type, payload, this.#envelope(ref, now)));
  }

  #refuse(refusal: Refusal, ref: string | undefined = refusal.ref): void {
    if (refusal.code === "INTERNAL") this.#parts.report(refusal.cause);
    this.#parts.refused?.(refusal.code);
    const { issues, ...rest } = refusal.toJSON();
    this.#say(
      "error",
      issues === undefined ? rest : { ...rest, issues: [...issues] },
      ref,
    );
    const isAbuse = refusal.kind.http < 500 && ++this.#faults >= MAX_FAULTS;
    this.#guard.refused(refusal.code, isAbuse);
    if (isAbuse || refusal.code === "INTERNAL") this.#close(refusal.code);
  }

  #close(code: RefusalCode): void {
    if (this.#state === "closed") return;
    this.#outbox.flush();
    this.end(code);
    if (this.#isOpen) this.#hangUp(code);
    else this.#closing = code;
  }

  #hangUp(code: RefusalCode): void {
    // A reason holds at most 123 bytes: the code, not a sentence.
    this.#socket.close(new Refusal(code).kind.close, code);
  }
}

function rateLimited(retryAfterMs: number, ref: string | undefined): Refusal {
  return new Refusal("RATE_LIMITED", undefined, { retryAfterMs, ref });
}

/** Whether strangers may say it even where clients must say who they are. */
function isOpenToAll(frame: ClientFrame): boolean {
  return frame.kind === "command" &&
    (frame.type === "connect" || frame.type === "ping");
}

function asSubscription(entry: string | Subscription): Subscription {
  return typeof entry === "string" ? { channel: entry } : entry;
}
