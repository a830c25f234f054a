/**
 * When a message is sent: at once, at most every so often, or after a quiet
 * time.
 *
 * @module
 */
import { deferred } from "./requests.ts";
import type { Answer } from "./parts.ts";
import type { Options, Outgoing } from "./types.ts";

/** A message that waits for its pace. */
interface Slot {
  message: Outgoing;
  answer?: Answer | undefined;
  timer?: ReturnType<typeof setTimeout>;
}

/**
 * Makes a function that sends messages at a pace.
 *
 * @param options the pace.
 * @param publish sends a message.
 */
export function paced(
  {
    enableThrottle = false,
    throttleTime = 100,
    enableDebounce = false,
    debounceTime = 200,
  }: Options,
  publish: (message: Outgoing) => Promise<unknown>,
): (message: Outgoing) => Promise<unknown> {
  const slots = new Map<string, Slot>();
  if (!enableThrottle && !enableDebounce) return publish;
  return (message) => {
    const key = `${message.type} ${message.channel}`;
    const known = slots.get(key);
    const slot = known ?? {} as Slot;
    const answer = slot.answer ??= deferred();
    slots.set(key, slot);
    slot.message = message;
    const release = () => {
      const { answer, message } = slot;
      slot.answer = undefined;
      if (enableDebounce || !answer) slots.delete(key);
      else setTimeout(release, throttleTime);
      answer?.resolve(publish(message));
    };
    if (enableDebounce) {
      if (known && enableThrottle) return answer.promise;
      clearTimeout(slot.timer);
      slot.timer = setTimeout(release, debounceTime);
    } else if (!known) release();
    return answer.promise;
  };
}
