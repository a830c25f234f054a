import type { StoredEventLog } from "../../store/stored_event_log.ts";
import { testEventLog } from "../contracts/event_log_contract.ts";
import { openLog, STORES } from "./stores.ts";

for (const [name, open] of Object.entries(STORES)) {
  testEventLog(`the log in ${name}`, async () => {
    const opened = await open();
    const logs: StoredEventLog[] = [];
    return {
      join() {
        const log = openLog(opened.connect());
        logs.push(log);
        return log;
      },
      async [Symbol.asyncDispose]() {
        for (const log of logs) await log.settled();
        await opened[Symbol.asyncDispose]();
      },
    };
  });
}
