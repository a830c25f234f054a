import assert from "node:assert/strict";
import fc from "fast-check";
import { CountingSocket } from "../../realtime/counting_socket.ts";

const frame = fc.oneof(
  fc.string({ unit: "grapheme", maxLength: 100 }),
  fc.uint8Array({ maxLength: 100 }),
);
const step = fc.oneof(
  fc.record({ frame }),
  fc.record({ handedOver: fc.nat(400) }),
  fc.record({ bytes: fc.nat(400) }),
  fc.record({ asked: fc.constant(true) }),
);

Deno.test("a socket estimates its unsent bytes, and rarely reads them", () => {
  fc.assert(fc.property(fc.array(step), (steps) => {
    let held = 0;
    let isNew = true;
    const socket = new CountingSocket({
      get bufferedAmount() {
        isNew = false;
        return held;
      },
      send: (data) => {
        held += typeof data === "string"
          ? new TextEncoder().encode(data).byteLength
          : (data as Uint8Array).byteLength;
      },
      close: () => {},
    });
    for (const each of steps) {
      if ("frame" in each) {
        socket.send(each.frame as string | Uint8Array<ArrayBuffer>);
      } else if ("handedOver" in each) {
        held = Math.max(0, held - each.handedOver);
      } else if ("bytes" in each) {
        assert.equal(socket.holds(each.bytes), held >= each.bytes);
      } else assert.equal(socket.bufferedAmount, held);
    }
    socket.send("x");
    isNew = true;
    assert.equal(socket.holds(100_000), false);
    assert(isNew, "it cannot hold as much");
  }));
});

Deno.test("a socket is closed with code and reason", () => {
  const closed: unknown[] = [];
  const socket = new CountingSocket({
    bufferedAmount: 0,
    send: () => {},
    close: (...how) => closed.push(how),
  });
  socket.close(1_000, "done");
  assert.deepEqual(closed, [[1_000, "done"]]);
});
