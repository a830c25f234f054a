/**
 * Reads Server-Sent Events from the body of a `fetch`, since an `EventSource`
 * sends no `Authorization`.
 *
 * @module
 * @see {@link https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation}
 */

/** Longest event that is read, in characters. */
const MAX_EVENT_LENGTH = 4 * 1024 * 1024;

/** One event. */
export interface StreamEvent {
  /** `message` unless it is named. */
  readonly name: string;
  /** What it carries. */
  readonly data: string;
}

/**
 * Reads events until the body ends.
 *
 * @param body of a response of type `text/event-stream`.
 * @param alive called for whatever arrives, comments too.
 * @throws {RangeError} an event is longer than 4 Mi characters.
 */
export async function* eventsOf(
  body: ReadableStream<Uint8Array>,
  alive: () => void,
): AsyncGenerator<StreamEvent, void> {
  const decoder = new TextDecoder();
  const reader = body.getReader();
  let rest = "";
  let name = "";
  let data: string[] = [];
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      alive();
      const lines = (rest + decoder.decode(value, { stream: true })).split(
        "\n",
      );
      rest = lines.pop()!;
      if (rest.length > MAX_EVENT_LENGTH) {
        throw new RangeError("event too long");
      }
      for (const raw of lines) {
        const line = raw.endsWith("\r") ? raw.slice(0, -1) : raw;
        if (line === "") {
          if (data.length > 0) {
            yield { name: name || "message", data: data.join("\n") };
          }
          name = "";
          data = [];
        }
        const [, field, text = ""] = /^(\w+)(?:: ?(.*))?$/.exec(line) ?? [];
        if (field === "event") name = text;
        if (field === "data") data.push(text);
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
