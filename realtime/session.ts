/**
 * One client on a socket, as a state machine: opened -> connected -> closed.
 *
 * @module
 */
import type { ClientFrame } from "../protocol/decode.ts";
import { programIn } from "../protocol/commands.ts";
import type { CommandPayload } from "../protocol/commands.ts";
import type { FrameRights } from "../protocol/frame_rights.ts";
import { instantText } from "../protocol/encode.ts";
import type { FrameOptions, ReplyFrame } from "../protocol/encode.ts";
import { Refusal } from "../protocol/refusals.ts";
import type { RefusalCode } from "../protocol/refusals.ts";
import type { Identity, ReplyPayload, ReplyType } from "../protocol/replies.ts";
import type { Principal } from "../security/principal.ts";
import { rightsOf } from "../security/rights.ts";
import { requireChannel } from "./channel.ts";
import type { Codec } from "./codec.ts";
import type { Compression, CompressionName } from "./compression.ts";
import { CommandQueue, MAX_COMMANDS_IN_FLIGHT } from "./command_queue.ts";
import { JSON_CODEC } from "./json_codec.ts";
import { Outbox } from "./outbox.ts";
import type { Peer } from "./sink.ts";
import { accountOf } from "./prices.ts";
import type { Account } from "./prices.ts";
import type { SessionGuard } from "./session_guard.ts";
import type { Connection } from "./sessions.ts";
import { MAX_SUBSCRIPTIONS } from "./subscribe.ts";
import { TokenTimer } from "./token_timer.ts";
import { Verbs } from "./verbs.ts";
import type { PublishFrame, VerbParts } from "./verbs.ts";

/** A client should send a frame at least this often, in milliseconds. */
export const HEARTBEAT_MS = 25_000;
/** Excess of refused over accepted frames after which a connection ends. */
export const MAX_FAULTS = 256;
/** How long a client may stay unauthenticated where a token is required. */
export const AUTH_DEADLINE_MS = 10_000;
/** The part of a WebSocket that a session uses. */
export interface Socket extends Peer {
  /** Ends the connection; does nothing once it is ending. */
  close(code?: number, reason?: string): void;
}

/** Parts that sessions need. */
export interface SessionParts extends VerbParts {
  /** Creates names of sessions and frames. */
  nextId: (now: number) => string;
  /** Longest frame accepted, in bytes. */
  maxMessageBytes: number;
  /** Changes whenever a schema of the protocol changes. */
  schema: string;
  /** Whether anonymous clients may only `connect`. */
  requireAuth: boolean;
  /** Called with bugs; never with refusals. */
  report: (error: unknown) => void;
  /** Called with the code of every refusal. */
  refused?: (code: RefusalCode) => void;
  /** Called for every frame received. */
  received?: () => void;
  /** Called for every socket that opened, `ms` after its request. */
  opened?: (ms: number) => void;
  /** Called for every client that was rejected when it connected. */
  failed?: () => void;
  /** Called for every command and publish, with the session's name. */
  commanded?: ((session: string, type: string) => void) | undefined;
  /** Loads a compression that a client requested; none when absent. */
  compression?: ((name: CompressionName) => Promise<Compression>) | undefined;
}

/** Properties of one connection, known when it opens. */
export interface SessionOptions {
  /** Its principal before any `connect`. */
  principal: Principal;
  /** Admits its frames. */
  guard: SessionGuard;
  /** How its frames are encoded. */
  codec: Codec;
}

/** One client. */
export class Session implements Connection {
  /** Unique name. */
  readonly id: string;
  /** When it opened, in epoch milliseconds. */
  readonly since: number;
  readonly #socket: Socket;
  readonly #parts: SessionParts;
  readonly #guard: SessionGuard;
  readonly #account: Account;
  readonly #codec: Codec;
  readonly #outbox: Outbox;
  readonly #queue: CommandQueue;
  readonly #verbs: Verbs;
  readonly #token: TokenTimer;
  readonly #rights: FrameRights;
  #principal: Principal;
  #client: string | undefined;
  /** Whether the handshake is done: before, a socket can neither send nor close. */
  #isOpen = false;
  /** The close requested before the handshake was done. */
  #closing: RefusalCode | undefined;
  #state: "opened" | "connected" | "closed" = "opened";
  #authDeadline: Disposable | undefined;
  #faults = 0;
  #onEnd: (why?: RefusalCode | number) => void = () => {};

  /** Waits for {@link open}. */
  constructor(socket: Socket, parts: SessionParts, options: SessionOptions) {
    this.#socket = socket;
    this.#parts = parts;
    this.#principal = options.principal;
    this.#guard = options.guard;
    this.#account = accountOf(options.guard, () => this.#principal);
    this.#codec = options.codec;
    this.since = parts.clock.now();
    this.id = parts.nextId(this.since);
    this.#outbox = new Outbox(
      socket,
      options.codec,
      parts.hub.outboxParts,
      {
        ...this.#account,
        stalled: () => this.disconnect("SLOW_CONSUMER"),
      },
    );
    this.#rights = rightsOf(() => this.#principal, {
      requireAuth: parts.requireAuth,
      hint: "send connect with one first",
    });
    this.#queue = new CommandQueue({
      read: (data) => this.#read(data),
      glance: (data) => this.#codec.glance(data),
      handle: (frame) => this.#handle(frame),
      refuse: (refusal, ref) => this.#refuse(refusal, ref),
    });
    this.#verbs = new Verbs(parts, {
      principal: () => this.#principal,
      reader: this.#account,
      subscribing: this.#account.subscribing,
      outbox: this.#outbox,
      isOpen: () => this.#state !== "closed",
      reply: (type, payload, ref) => this.#reply(type, payload, ref),
    });
    this.#token = new TokenTimer(parts.clock, {
      expiring: (inMs) => this.#reply("token_expiring", { inMs }),
      expired: () => {
        this.#refuse(new Refusal("TOKEN_EXPIRED"));
        this.#close("TOKEN_EXPIRED");
      },
    });
  }

  /** The client's current principal. */
  get identity(): Identity {
    return this.#principal.identity;
  }

  /** Name and version of the client program, as it reported them. */
  get client(): string | undefined {
    return this.#client;
  }

  /** Its channels, with its position and lag in each. */
  get positions(): ReturnType<Outbox["positions"]> {
    return this.#outbox.positions();
  }

  /** Its token's `jti`. */
  get tokenId(): string | undefined {
    return this.#principal.tokenId;
  }

  /** Whether its token has been revoked. */
  get isRevoked(): boolean {
    return this.#principal.isRevoked();
  }

  /** Registers the listener that is called, once, when the session has ended. */
  onEnd(listener: (why?: RefusalCode | number) => void): void {
    this.#onEnd = listener;
  }

  /**
   * Starts once the socket is open: sends `connected`, unless the client must
   * authenticate first.
   *
   * @param awaitsConnect whether it always sends `connect`, as clients of other
   * protocols do.
   */
  open({ awaitsConnect = false } = {}): void {
    if (!this.#begin()) return;
    const { requireAuth } = this.#parts;
    if (awaitsConnect || (requireAuth && !this.identity.isAuthenticated)) {
      this.#token.watch(this.#principal.expiresAt);
      this.#authDeadline = this.#parts.clock.after(AUTH_DEADLINE_MS, () => {
        this.#refuse(unauthenticated());
        this.#close("UNAUTHENTICATED");
      });
      return;
    }
    this.#welcome(undefined);
    this.#become(this.#principal);
  }

  /** Sends the reason for refusing the connection, and ends it. */
  reject(refusal: Refusal): void {
    if (!this.#begin()) return;
    this.#parts.failed?.();
    this.#refuse(refusal);
    this.#close(refusal.code);
  }

  /** Called when the handshake is done: closes now if a close was requested meanwhile. */
  #begin(): boolean {
    this.#isOpen = true;
    if (this.#closing !== undefined) this.#hangUp(this.#closing);
    return this.#state !== "closed";
  }

  /**
   * Handles one incoming frame. Never throws: an error that escapes a socket's
   * event handler ends the process and all its connections.
   */
  receive(data: unknown): void {
    if (this.#state === "closed") return;
    try {
      this.#parts.received?.();
      this.#account.admit(1, () => this.#codec.glance(data));
      this.#queue.add(data);
    } catch (error) {
      this.#refuse(Refusal.of(error));
    }
  }

  /** Requests the client to reconnect later, to another instance. */
  drain(retryInMs: number): void {
    this.#reply("draining", { retryInMs });
  }

  /** Sends `why`, if given, and ends the connection with the code's close. */
  disconnect(code: RefusalCode, why?: string): void {
    if (this.#state === "closed") return;
    this.#parts.refused?.(code);
    if (why !== undefined) this.#reply("error", { code, message: why });
    this.#close(code);
  }

  /**
   * Releases everything once the socket has closed or is unusable.
   *
   * @param why a refusal, or the close code of a client that left.
   */
  end(why?: RefusalCode | number): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#authDeadline?.[Symbol.dispose]();
    this.#token[Symbol.dispose]();
    this.#queue.clear();
    this.#outbox.close();
    this.#verbs[Symbol.dispose]();
    this.#onEnd(why);
  }

  #read(data: unknown): ClientFrame {
    const { maxMessageBytes } = this.#parts;
    const frame = this.#codec.decode(data, maxMessageBytes, this.#rights);
    if (frame.kind === "publish" && frame.publications.length > 1) {
      this.#account.admit(frame.publications.length - 1, () => frame.id);
    }
    if (this.#faults > 0) this.#faults--;
    return frame;
  }

  #handle(frame: ClientFrame): Promise<void> | void {
    const verb = frame.kind === "command" ? frame.type : frame.kind;
    this.#parts.commanded?.(this.id, verb);
    this.#rights.requireVerb(verb);
    if (frame.kind === "publish") return this.#publish(frame);
    if (frame.kind === "test") {
      const { payload, id } = frame;
      return this.#send({ ...this.#envelope(id), type: "TEST", payload });
    }
    if (frame.type === "connect") return this.#connect(frame.payload, frame.id);
    if (frame.type === "refresh") {
      return this.#refresh(frame.payload.token, frame.id);
    }
    return this.#verbs.obey(frame);
  }

  #publish(frame: PublishFrame): void {
    this.#queue.publishing(
      this.#verbs.publish(frame).catch((error) => {
        this.#refuse(Refusal.of(error), frame.id);
      }),
    );
  }

  async #connect(
    { auth, client, batch, compress }: CommandPayload<"connect">,
    ref: string | undefined,
  ): Promise<void> {
    if (auth) {
      const principal = await this.#authenticate(auth.token, ref);
      if (!principal || this.#state === "closed") return;
      this.#become(principal);
    }
    this.#requireIdentity();
    const compression = compress && await this.#compressed(compress);
    if (this.#state === "closed") return;
    this.#client = client ?? programIn(auth?.headers) ?? this.#client;
    this.#outbox.batch = batch ?? false;
    this.#outbox.codec = compression?.codec ?? this.#codec;
    this.#welcome(ref, compression);
    this.#leaveForbidden();
  }

  /** Only JSON is compressed: clients of another codec receive it unchanged. */
  async #compressed(
    name: CompressionName,
  ): Promise<Compression | undefined> {
    if (this.#codec !== JSON_CODEC) return undefined;
    return await this.#parts.compression?.(name);
  }

  /**
   * A client that must authenticate, but cannot because of the server, is closed
   * with a code that allows a reconnect, instead of a final one at the deadline.
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
    this.#reply("refreshed", { expiresAt: expiresAt! }, ref);
    this.#leaveForbidden();
  }

  /** Another token may have fewer rights than the previous one. */
  #leaveForbidden(): void {
    const lost = [...this.#outbox]
      .filter(({ stream: { channel } }) =>
        !this.#principal.mayRead(requireChannel(channel))
      )
      .map(({ name }) => name);
    for (const name of lost) this.#outbox.detach(name);
    if (lost.length > 0) this.#reply("unsubscribed", { channels: lost });
  }

  #requireIdentity(): void {
    if (!this.#parts.requireAuth || this.identity.isAuthenticated) return;
    throw unauthenticated();
  }

  #become(principal: Principal): void {
    this.#principal = principal;
    this.#token.watch(principal.expiresAt);
  }

  #welcome(ref: string | undefined, compression?: Compression): void {
    this.#state = "connected";
    this.#authDeadline?.[Symbol.dispose]();
    const serverTime = instantText(this.#parts.clock.now());
    this.#reply("connected", {
      sessionId: this.id,
      serverTime,
      identity: this.identity,
      heartbeatMs: HEARTBEAT_MS,
      limits: {
        maxMessageBytes: this.#parts.maxMessageBytes,
        maxSubscriptions: MAX_SUBSCRIPTIONS,
        maxCommandsInFlight: MAX_COMMANDS_IN_FLIGHT,
      },
      schema: this.#parts.schema,
      ...(compression ? { compress: compression.terms } : {}),
    }, ref);
  }

  #envelope(ref: string | undefined): FrameOptions {
    const now = this.#parts.clock.now();
    return { id: this.#parts.nextId(now), now, ref };
  }

  #reply<Type extends ReplyType>(
    type: Type,
    payload: ReplyPayload<Type>,
    ref?: string,
  ): void {
    this.#send({ ...this.#envelope(ref), type, payload } as ReplyFrame);
  }

  #send(reply: ReplyFrame): void {
    if (this.#state === "closed" || !this.#isOpen) return;
    this.#outbox.reply(reply);
  }

  #refuse(refusal: Refusal, ref: string | undefined = refusal.ref): void {
    if (refusal.code === "INTERNAL") this.#parts.report(refusal.cause);
    this.#parts.refused?.(refusal.code);
    const { issues, ...rest } = refusal.toJSON();
    this.#reply(
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

function unauthenticated(): Refusal {
  return new Refusal("UNAUTHENTICATED", "Send connect with a token first");
}
