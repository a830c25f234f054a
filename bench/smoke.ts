/**
 * Looks at a deployed service from outside, as a client, a publisher and a
 * load balancer would.
 *
 * @module
 */
import { Fault, Site, Skipped } from "./smoke_site.ts";
import type { SmokeOptions } from "./smoke_site.ts";
import { STEPS } from "./smoke_steps.ts";

/** What one look found. */
export interface Finding {
  /** What was looked at. */
  readonly name: string;
  /** How it is. */
  readonly state: "ok" | "failed" | "skipped";
  /** How long it took, in milliseconds. */
  readonly ms: number;
  /** What was seen. */
  readonly detail: string;
  /** What to look at when it failed. */
  readonly hint?: string | undefined;
}

/**
 * Looks at everything, one step after another.
 *
 * @param options what to look at.
 * @param report receives each finding as it is made.
 * @returns all findings, in order.
 */
export async function smoke(
  options: SmokeOptions,
  report: (finding: Finding) => void = () => {},
): Promise<Finding[]> {
  const findings: Finding[] = [];
  const site = new Site(options);
  for (const [name, look] of Object.entries(STEPS)) {
    const since = performance.now();
    let finding: Finding;
    try {
      const detail = await look(site);
      finding = { name, state: "ok", ms: performance.now() - since, detail };
    } catch (error) {
      const ms = performance.now() - since;
      const detail = error instanceof Error ? error.message : String(error);
      finding = {
        name,
        state: error instanceof Skipped ? "skipped" : "failed",
        ms,
        detail,
        hint: error instanceof Fault ? error.hint : HINTS[name],
      };
    }
    findings.push(finding);
    report(finding);
    // Without any answer the other steps fail for the same reason.
    if (name === "health" && finding.state === "failed") break;
  }
  return findings;
}

/** What to look at first when a step fails. */
const HINTS: Readonly<Record<string, string>> = {
  health:
    "Nothing answers: check the URL, DNS, TLS, the firewall, and that the service runs.",
  ready: "GET /ready names what is wrong; see docs/troubleshooting.md.",
  connect:
    "The upgrade fails: does the proxy pass Upgrade and Connection (HTTP/1.1), and is MAX_CONNECTIONS reached?",
  subscribe: "Frames do not return: a proxy may hold them.",
  latency: "Frames do not return in time.",
  refusals: "A refusal came out otherwise than documented: is it this service?",
  publish:
    "Is SMOKE_TOKEN of the role user or above, unexpired and signed with a secret of this instance?",
  deliver:
    "Kept but not delivered: look at the link in GET /ready (LINK=doorbell where instances share only KV).",
  resume: "Look at the log and RETENTION_EVENTS, RETENTION_MS.",
  sse: "Events are held back: switch response buffering off in the proxy.",
  history: "The log cannot be read: see store in GET /ready.",
  limits: "Answers state no limits: does a proxy strip the headers?",
  idle:
    "A quiet connection was cut: raise the proxy's read timeout above 60 s.",
};

const SIGNS = { ok: "ok", failed: "FAILED", skipped: "skipped" } as const;

/** One finding as a line of the table. */
export function line({ name, state, ms, detail, hint }: Finding): string {
  const time = state === "skipped" ? "" : `${ms.toFixed(0)} ms`;
  const row = `${name.padEnd(10)} ${SIGNS[state].padEnd(8)} ${
    time.padStart(8)
  }  ${detail}`;
  return state === "failed" && hint ? `${row}\n${" ".repeat(30)}${hint}` : row;
}
