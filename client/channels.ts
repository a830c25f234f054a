/**
 * The joined channels: asked for after every connect from where each stands,
 * and again whenever something is missing.
 *
 * @module
 */
import { backoffMs } from "./backoff.ts";
import { answered, skip } from "./cursor.ts";
import type { Cursor } from "./cursor.ts";
import { failure, isLasting } from "./failure.ts";
import { REQUEST_TIMEOUT_MS } from "./limits.ts";
import type { Channels, Parts } from "./parts.ts";
import type { Failure } from "./types.ts";

/** Makes an empty set of channels. */
export function channelsOf(
  parts: Pick<
    Parts,
    "options" | "timers" | "core" | "welcome" | "transmit" | "changed"
  >,
): Channels {
  const { options: { reconnectInterval = 5_000 }, timers, core, changed } =
    parts;
  const cursors = new Map<string, Cursor>();
  const aliases = new Map<string, string>();

  function ask(wanted: readonly Cursor[]): void {
    if (!parts.welcome || !wanted.length) return;
    const ref = parts.transmit("subscribe", {
      channels: wanted.map(({ name: channel, position: after, last }) =>
        after ? { channel, after } : last ? { channel, last } : channel
      ),
    });
    for (const cursor of wanted) cursor.ref = ref;
    timers.after(
      ref,
      REQUEST_TIMEOUT_MS,
      () => refused(ref, failure("TIMEOUT")),
    );
  }

  /** Asks again, later each time that it did not help. */
  function askAgain(cursor: Cursor, leastMs = 0): void {
    const key = `#${cursor.name}`;
    if (cursor.ref || timers.isDue(key)) return;
    const ms = cursor.tries++ && backoffMs(cursor.tries, reconnectInterval);
    timers.after(key, leastMs + ms, () => ask([cursor]));
  }

  function refused(ref: string, failure: Failure): void {
    const hit = [...cursors.values()].filter((cursor) => cursor.ref === ref);
    for (const cursor of hit) {
      // Not all may be at fault.
      if (hit.length > 1) ask([cursor]);
      else reject(cursor, failure);
    }
  }

  function reject(cursor: Cursor | undefined, failure: Failure): void {
    if (!cursor) return;
    cursor.ref = undefined;
    core.lastError = failure;
    if (isLasting(failure)) {
      cursor.view.status = "rejected";
      cursor.view.code = failure.code;
    } else {
      cursor.tries++;
      askAgain(cursor, failure.retryAfterMs);
    }
  }

  return {
    views: () =>
      Object.fromEntries(
        [...cursors].map(([name, { view, position }]) => [
          name,
          { ...view, epoch: null, seq: null, ...position },
        ]),
      ),
    get: (name) => cursors.get(name),

    join(name, { after, last } = {}) {
      name = aliases.get(name) ?? name;
      if (cursors.has(name)) return;
      const cursor: Cursor = {
        name,
        position: after && { ...after },
        last,
        tries: 0,
        view: { status: "joining", recovered: null, caughtUp: 0 },
      };
      cursors.set(name, cursor);
      ask([cursor]);
      changed();
    },

    leave(name) {
      name = aliases.get(name) ?? name;
      if (!cursors.delete(name)) return;
      timers.stop(`#${name}`);
      if (parts.welcome) parts.transmit("unsubscribe", { channels: [name] });
      changed();
    },

    resume: () => ask([...cursors.values()]),

    lost() {
      for (const cursor of cursors.values()) {
        cursor.ref = undefined;
        cursor.view.status = "joining";
      }
    },

    askAgain,
    refused,

    subscribed({ channels, rejected }, ref) {
      for (const answer of channels) {
        const { channel, requested = channel } = answer;
        const cursor = cursors.get(requested);
        if (!cursor || cursor.ref !== ref) continue;
        if (requested !== channel) {
          aliases.set(requested, channel);
          cursors.delete(requested);
          if (cursors.has(channel)) continue;
          cursors.set(cursor.name = channel, cursor);
        }
        answered(cursor, answer);
      }
      for (const { channel, code } of rejected) {
        const cursor = cursors.get(channel);
        if (cursor?.ref === ref) reject(cursor, failure(code));
      }
    },

    forbidden(names) {
      for (const name of names) {
        reject(cursors.get(name), failure("FORBIDDEN"));
      }
    },

    gap(gap) {
      const cursor = cursors.get(gap.channel);
      if (!cursor) return false;
      if (skip(cursor, gap)) return true;
      askAgain(cursor);
      return false;
    },
  };
}
