/**
 * The problems at the top of the page, the worst first.
 *
 * @module
 */
import { span } from "./model.ts";
import type { View } from "./watch.ts";

/**
 * Age from which what the page shows is stale, in milliseconds: a refresh is
 * begun every 2 s, so one that is missing shows within 3 s.
 */
export const STALE_MS = 3_000;

/** One thing that is wrong, or that all is well. */
export interface Finding {
  /** How bad: `bad` needs a person now, `busy` soon. */
  readonly tone: "bad" | "busy" | "good";
  /** One or two words. */
  readonly label: string;
  /** What exactly; empty when there is nothing to add. */
  readonly detail: string;
}

/** What is known of the service, and how old that is. */
export interface Known {
  /** What was read last; nothing before the first answer. */
  readonly view:
    | Pick<View, "ready" | "checks" | "active" | "instances" | "unread">
    | undefined;
  /** Why the last refresh failed; empty when it did not. */
  readonly fault: string;
  /** Age of the view, in milliseconds of the monotonic clock. */
  readonly ageMs: number;
}

/** Whether what the page shows may no longer be so. */
export function isStale({ view, fault, ageMs }: Known): boolean {
  return view !== undefined && (fault !== "" || ageMs >= STALE_MS);
}

/**
 * All that is wrong.
 *
 * @returns the worst first; a note that all is well when nothing is.
 */
export function findings(known: Known): readonly Finding[] {
  const { view, ageMs } = known;
  const fault = known.fault.replace(/^No answer: /, "");
  if (!view) {
    return [
      fault
        ? { tone: "bad", label: "No answer", detail: fault }
        : { tone: "busy", label: "Loading", detail: "" },
    ];
  }
  const all: Finding[] = [];
  if (isStale(known)) {
    const detail = fault || `for ${span(ageMs)}`;
    all.push({ tone: "bad", label: "No answer", detail });
  }
  const checks = Object.entries(view.checks);
  for (const [name, { ok, detail }] of checks) {
    if (!ok) {
      all.push({
        tone: "bad",
        label: "Not ready",
        detail: `${name}: ${detail}`,
      });
    }
  }
  if (!view.ready && checks.every(([, { ok }]) => ok)) {
    all.push({ tone: "bad", label: "Not ready", detail: "" });
  }
  for (const detail of view.unread) {
    all.push({ tone: "bad", label: "Not known", detail });
  }
  const isCritical = (it: View["active"][number]) => it.severity === "critical";
  const alerts = [
    ...view.active.filter(isCritical),
    ...view.active.filter((it) => !isCritical(it)),
  ].map((it): Finding => ({
    tone: isCritical(it) ? "bad" : "busy",
    label: isCritical(it) ? "Critical" : "Alert",
    detail: it.message,
  }));
  all.push(...alerts);
  for (const [name, { ok, degraded, detail }] of checks) {
    if (ok && degraded) {
      all.push({
        tone: "busy",
        label: "Degraded",
        detail: `${name}: ${detail}`,
      });
    }
  }
  const { length } = view.instances;
  const count = `${length} ${length === 1 ? "instance" : "instances"}`;
  return all.length > 0
    ? all
    : [{ tone: "good", label: "Ready", detail: count }];
}
