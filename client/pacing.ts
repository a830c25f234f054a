/**
 * When a message is sent: at once, at most every so often, or after a quiet
 * time. Nothing is left out but what a newer message of the same `key`
 * replaces.
 *
 * @module
 */
import { deferred } from "./deferred.ts";
import type { Deferred } from "./deferred.ts";
import { RequestError } from "./failure.ts";
import { MAX_PENDING } from "./limits.ts";
import type { Outgoing, SendOptions } from "./types.ts";

/** A message that waits for its pace. */
interface Waiting {
  readonly message: Outgoing;
  readonly options: SendOptions;
  readonly answer: Deferred<unknown>;
}

/** Messages that wait for each other, in order, and when the next is sent. */
type Slot = Waiting[] & { timer?: ReturnType<typeof setTimeout> };

/** Sends a message. */
export type Publish = (
  message: Outgoing,
  options: SendOptions,
) => Promise<unknown>;

/** Makes a function that hands messages to `publish` at their pace. */
export function paced(publish: Publish): Publish {
  const slots = new Map<string, Slot>();
  return (message, options) => {
    const {
      enableThrottle,
      throttleTime = 100,
      enableDebounce,
      debounceTime = 200,
      key,
    } = options;
    if (message.id || !(enableThrottle || enableDebounce)) {
      return publish(message, options);
    }
    const { type, channel, payload } = message;
    const { event } = Object(payload);
    const name = JSON.stringify([type, channel, event, key]);
    const waiting: Slot = slots.get(name) ?? [];
    slots.set(name, waiting);
    if (key !== undefined) {
      waiting.pop()?.answer.reject(new RequestError("REPLACED"));
    }
    const answer = deferred();
    if (waiting.push({ message, options, answer }) > MAX_PENDING) {
      waiting.pop();
      answer.reject(new RequestError("QUEUE_FULL"));
    }

    /** Sends the next, or all of them; ends when nothing waits any more. */
    const release = () => {
      const due = waiting.splice(0, enableDebounce ? Infinity : 1);
      if (enableDebounce || !due[0]) slots.delete(name);
      else waiting.timer = setTimeout(release, throttleTime);
      for (const { message, options, answer } of due) {
        answer.resolve(publish(message, options));
      }
    };
    if (enableDebounce) {
      if (!enableThrottle) clearTimeout(waiting.timer);
      else if (waiting.timer) return answer.promise;
      waiting.timer = setTimeout(release, debounceTime);
    } else if (!waiting.timer) release();
    return answer.promise;
  };
}
