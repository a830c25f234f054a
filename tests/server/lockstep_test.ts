import assert from "node:assert/strict";
import { beginTogether, follow, remote } from "../../server/lockstep.ts";
import type { Member } from "../../server/lockstep.ts";
import { settle } from "../fakes/clock.ts";

/** A member whose steps a test holds back, and the order of all steps. */
class Slow implements Member {
  readonly isBuilt = Promise.withResolvers<void>();
  readonly answers = Promise.withResolvers<void>();
  readonly #name: string;
  readonly #order: string[];

  constructor(name: string, order: string[]) {
    this.#name = name;
    this.#order = order;
  }

  built(): Promise<void> {
    return this.isBuilt.promise;
  }

  async listen(): Promise<void> {
    this.#order.push(`${this.#name} listens`);
    await this.answers.promise;
  }

  ready(): void {
    this.#order.push(`${this.#name} is ready`);
  }
}

/** Both ends of a worker, as messages would join them. */
function ends(): [Parameters<typeof remote>[0], Parameters<typeof follow>[0]] {
  const { port1, port2 } = new MessageChannel();
  open.push(port1, port2);
  port1.start();
  port2.start();
  return [
    port1 as unknown as Parameters<typeof remote>[0],
    port2 as unknown as Parameters<typeof follow>[0],
  ];
}

const open: MessagePort[] = [];
Deno.test.afterEach(() => {
  for (const port of open.splice(0)) port.close();
});

/** Lets messages cross. */
async function cross(): Promise<void> {
  for (let i = 0; i < 20; i++) await settle();
}

Deno.test("none listens before all are built, none is ready before all listen", async () => {
  const order: string[] = [];
  const [own, far] = [new Slow("own", order), new Slow("far", order)];
  const [worker, leader] = ends();
  follow(leader, far);
  const begun = beginTogether([own, remote(worker)]);
  own.isBuilt.resolve();
  await cross();
  assert.deepEqual(order, []);
  far.isBuilt.resolve();
  await cross();
  assert.deepEqual(order.toSorted(), ["far listens", "own listens"]);
  own.answers.resolve();
  await cross();
  assert.equal(order.length, 2);
  far.answers.resolve();
  await begun;
  await cross();
  assert.deepEqual(order.slice(2).toSorted(), ["far is ready", "own is ready"]);
});

Deno.test("a worker that breaks ends the beginning with its error", async () => {
  const worker = new EventTarget();
  const member = remote(
    Object.assign(worker, {
      postMessage: () => {},
    }) as unknown as Parameters<typeof remote>[0],
  );
  const own = new Slow("own", []);
  own.isBuilt.resolve();
  const begun = beginTogether([own, member]);
  worker.dispatchEvent(new ErrorEvent("error", { message: "broken" }));
  await assert.rejects(begun, /broken/);
});
