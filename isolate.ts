/**
 * One of several instances that share a port, in an isolate of its own:
 * `start.ts` lets them begin together.
 *
 * @module
 */
import main, { listening, logger, service, settings } from "./main.ts";
import { systemClock as clock } from "./platform/clock.ts";
import { keepListening } from "./server/listener.ts";
import { instanceCount } from "./server/machine.ts";
import { follow } from "./server/lockstep.ts";
import type { Member } from "./server/lockstep.ts";

/** The instance of this isolate. */
export const member: Member = {
  // This module runs once all parts stand.
  built: () => Promise.resolve(),
  // deno-lint-ignore require-await -- a failure has to reject.
  async listen() {
    const { HOST: hostname, PORT: port } = settings;
    keepListening({
      hostname,
      port,
      isShared: instanceCount() > 1,
      handler: main.fetch,
      onListen: listening,
      clock,
      logger,
    });
  },
  ready: () => service.readiness.listening(),
};

if ("postMessage" in globalThis) {
  follow(globalThis as unknown as Parameters<typeof follow>[0], member);
}
