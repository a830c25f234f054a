import { StoredSet } from "../../store/stored_set.ts";
import { MAX_ITEMS, testSharedSet } from "../contracts/shared_set_contract.ts";
import type { Item } from "../contracts/shared_set_contract.ts";
import { flaky } from "../fakes/security.ts";
import { STORES } from "./stores.ts";

for (const [name, open] of Object.entries(STORES)) {
  testSharedSet({
    name: `StoredSet on ${name}`,
    async open() {
      const { clock, connect, ...opened } = await open();
      const lines: ReturnType<typeof flaky>[] = [];
      let isAway = false;
      return {
        clock,
        get isAway() {
          return isAway;
        },
        set isAway(value) {
          isAway = value;
          for (const line of lines) line.isAway = value;
        },
        join(onChange = () => {}) {
          const line = flaky(connect());
          line.isAway = isAway;
          lines.push(line);
          return new StoredSet<Item>({
            kv: line.kv,
            clock,
            name: "item",
            maxEntries: MAX_ITEMS,
            endOf: ({ until }) => until,
          }, onChange);
        },
        [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
      };
    },
  });
}
