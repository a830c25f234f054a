/**
 * Filtered subscriptions over a client's connection: only matching events are
 * received, each once and in order, or a gap is reported.
 *
 * A separate module, so that pages that do not filter do not load it.
 *
 * @module
 */
import { asking } from "./asking.ts";
import { deferred } from "./deferred.ts";
import { endOf } from "./ending.ts";
import { RequestError } from "./failure.ts";
import { add, caller } from "./listeners.ts";
import type { Listeners } from "./listeners.ts";
import type { Filter, Watch, WatchOptions } from "./following.ts";
import type { ChannelState, Client, Gap, Position } from "./types.ts";
import type { ReplyPayload, ReplyType } from "../protocol/replies.ts";

export type * from "./types.ts";

/** Of a channel whose end only the connection can report. */
const ALIVE = { status: "joined" } as ChannelState;

const closed = () => new RequestError("CLOSED");

/** A frame as it is parsed. */
interface Frame {
  readonly type: string;
  readonly sub?: string;
  readonly epoch?: string;
  readonly seq?: number;
  readonly prev?: number;
  // deno-lint-ignore no-explicit-any -- by type, as the server sends it
  readonly payload: any;
}

/** Requests that this module sends beside those of applications. */
type Ask = (
  verb: string,
  payload: object,
  options: { readonly offlineQueue: "refuse" },
) => Promise<unknown>;

let serial = 0;

/**
 * Follows the matching events of a channel, across reconnects.
 *
 * @param client provides the connection; it need not have joined the channel.
 * @param channel its name or alias.
 * @param options filter and position.
 */
export function watch(
  client: Client,
  channel: string,
  options: WatchOptions,
): Watch {
  const {
    as = `w${++serial}`,
    // deno-lint-ignore no-console -- where else?
    onError = console.error,
    last,
  } = options;
  let { filter, after: position } = options as {
    filter: Filter;
    after?: Position | undefined;
  };
  const request = client.request as unknown as Ask;
  const handlers = new Map<string, Listeners<never>>();
  const gaps: Listeners<Gap> = new Set();
  const moves: Listeners<Position> = new Set();
  const call = caller(onError);
  let status: Watch["status"] = "joining";
  let code: Watch["code"];
  let session: string | null = null;
  let isAsking = false;
  let isClosed = false;
  let joined = deferred<void>();

  const send = (verb: string, payload: object) =>
    request(verb, payload, { offlineQueue: "refuse" });

  /** Subscribes from the position; the answer arrives as a frame. */
  const { ask, refuse, stop } = asking(
    () => {
      isAsking = true;
      const begin = position ? { after: position } : { last };
      return send("subscribe", {
        channels: [{ channel, as, filter, ...begin }],
      });
    },
    (failure) => {
      isAsking = false;
      status = "rejected";
      code = failure.code;
      joined.reject(failure);
    },
  );

  function changed(): void {
    const { isConnected, sessionId } = client.state;
    if (!isConnected) {
      session = null;
      isAsking = false;
      stop();
      const end = endOf(client, ALIVE);
      if (end) joined.reject(end);
      if (end || status !== "joining") joined = deferred<void>();
      status = "joining";
    } else if (session !== sessionId) {
      session = sessionId;
      ask();
    }
  }

  function take(frame: Frame): void {
    const { type, seq, prev } = frame;
    // What an edit fetches has no `prev`: the position stays.
    if (prev !== undefined && seq !== undefined) {
      if (isAsking && position === undefined) return;
      if (position && seq <= position.seq && frame.epoch === position.epoch) {
        return;
      }
      const isKnown = position !== undefined &&
        (position.epoch === frame.epoch || position.epoch === "0");
      if (!isKnown || prev > position!.seq) {
        if (!isAsking) ask();
        return;
      }
      position = { epoch: frame.epoch!, seq };
    }
    call(handlers.get(type), frame as never);
  }

  const replies: {
    [Type in ReplyType]?: (payload: ReplyPayload<Type>) => void;
  } = {
    subscribed({ channels, rejected }) {
      const answer = channels.find((it) => it.as === as);
      const refused = rejected.find((it) => it.as === as);
      if (refused) refuse({ ...refused, message: refused.code });
      if (!answer) return;
      const { epoch, seq, recovered } = answer;
      isAsking = false;
      if (!recovered || position?.epoch !== epoch) {
        position = { epoch: epoch!, seq: seq! };
      }
      status = "joined";
      code = undefined;
      joined.resolve();
    },
    unsubscribed({ channels }) {
      if (!channels.includes(as) || status !== "joined") return;
      joined = deferred<void>();
      refuse({ code: "FORBIDDEN", message: "FORBIDDEN" });
    },
    gap(lost) {
      // What is asked for again is answered with what is lost of it.
      if (lost.as !== as || isAsking) return;
      const { epoch, to: seq, reason } = lost;
      // A log that lost its end gives those numbers out again; what an edit
      // fetches may be lost before the position.
      const isBefore = position?.epoch === epoch && seq < position.seq;
      if (reason !== "position_unknown" && !isBefore) position = { epoch, seq };
      call(gaps, lost);
    },
    progress({ positions }) {
      const moved = positions.find((it) => it.as === as);
      // While something is missing, the position must not pass it.
      if (!moved || isAsking) return;
      const { epoch, seq } = moved;
      position = { epoch, seq };
      call(moves, position);
    },
    watched({ as: name, field, added, removed }) {
      if (name !== as) return;
      const { any: [clause] = [filter] } = filter as {
        any?: Record<string, string | string[]>[];
      };
      const fields = clause as Record<string, string | string[]>;
      const values = [fields[field]!].flat();
      const isLeft = (value: string) => {
        // The server lists an address in lower case, however it was given.
        const lower = value.toLowerCase();
        return !removed.includes(values.includes(lower) ? value : lower);
      };
      filter = { ...fields, [field]: [...values.filter(isLeft), ...added] };
    },
  };

  const undoFrames = client.onFrame(({ direction, frame }) => {
    if (direction !== "in") return;
    const { type, payload } = frame as unknown as Frame;
    for (const each of type === "BATCH_UPDATE" ? payload.updates : [frame]) {
      if (each.sub === as) take(each);
      else replies[each.type as ReplyType]?.(each.payload as never);
    }
  });
  const undoState = client.onState(changed);
  changed();

  return {
    name: as,
    get status() {
      return status;
    },
    get code() {
      return code;
    },
    get position() {
      return position;
    },
    on(type, handler) {
      const known = handlers.get(type) ?? new Set();
      handlers.set(type, known);
      return add(known, handler as (event: never) => void);
    },
    onGap: (listener) => add(gaps, listener),
    onProgress: (listener) => add(moves, listener),
    async edit(edit) {
      const end = isClosed ? closed() : endOf(client, ALIVE);
      if (end) throw end;
      await joined.promise;
      return await send("watch", { as, ...edit }) as ReplyPayload<"watched">;
    },
    close() {
      isClosed = true;
      joined.reject(closed());
      stop(true);
      undoFrames();
      undoState();
      // What is asked for is left as well, once it is joined.
      if (isAsking || status === "joined") {
        send("unsubscribe", { channels: [as] }).catch(() => {});
      }
      status = "rejected";
      code = "CLOSED";
    },
  };
}
