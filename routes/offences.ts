/**
 * Violations of callers: recorded for operators, and counted towards an
 * automatic block.
 *
 * @module
 */
import type { RefusalCode } from "../protocol/refusals.ts";
import type { BlockList } from "../security/block_list.ts";
import type { SecurityLog } from "../security/security_log.ts";
import type { Visitor } from "./http.ts";

/** What records offences. */
export interface OffencesParts {
  /** Addresses that are not served. */
  blocks: BlockList;
  /** Keeps what happened. */
  securityLog: SecurityLog;
}

/** The offences of all callers. */
export class Offences {
  readonly #parts: OffencesParts;

  /** The parts stay the caller's to dispose. */
  constructor(parts: OffencesParts) {
    this.#parts = parts;
  }

  /**
   * Records one for operators; it is not counted.
   *
   * @param kind what was tried.
   * @param code with which it was refused.
   * @param detail a sentence for a person.
   */
  record(
    { ip }: Visitor,
    kind: "auth_failed" | "rate_limited" | "forbidden",
    code: RefusalCode,
    detail?: string,
  ): void {
    this.#parts.securityLog.record({ kind, reason: code, ip, detail });
  }

  /**
   * Counts one towards an automatic block. Those of this machine's own
   * addresses are left out, since all clients have them when a proxy is not
   * named in `TRUSTED_PROXIES`; so are those that a page of another site made
   * its visitor's browser commit.
   */
  count({ ip, isCrossSite }: Visitor, code: RefusalCode): void {
    if (isCrossSite || isLoopback(ip)) return;
    const block = this.#parts.blocks.violation(ip, code);
    if (!block) return;
    const { reason, by } = block;
    this.#parts.securityLog.record({ kind: "blocked", reason, ip, by });
  }
}

function isLoopback(ip: string): boolean {
  return ip.startsWith("127.") || ip === "::1";
}
