/**
 * Alert rules over the measurements of the whole cluster.
 *
 * A rule fires when its measure is beyond its threshold for long enough, and
 * ends when it is within a lower bound for long enough, so that a measure that
 * fluctuates around the threshold is one alert, not many. This module only
 * evaluates; `monitor.ts` measures and reports.
 *
 * @module
 */

/** Deliveries slower than this on average are too slow, in milliseconds. */
export const SLOW_DELIVERY_MS = 100;
/** Connections refused in {@link COUNTED_MS}; more are too many. */
export const MAX_FAILED_CONNECTIONS = 10;
/** Tokens not accepted in {@link COUNTED_MS}; more are too many. */
export const MAX_FAILED_AUTHENTICATIONS = 20;
/** Requests over a rate limit in {@link COUNTED_MS}; more are too many. */
export const MAX_RATE_VIOLATIONS = 100;
/** Commits and reads that failed in {@link COUNTED_MS}; more are too many. */
export const MAX_STORE_FAILURES = 10;
/** Without a new block for longer, a chain counts as stopped. */
export const STALE_HEAD_MS = 60_000;
/** Without a message for longer, a link counts as broken. */
export const SILENT_LINK_MS = 60_000;
/** Time over which events are counted, in milliseconds. */
export const COUNTED_MS = 60_000;
/** An alert ends at this share of its threshold. */
export const HYSTERESIS = 0.8;
/** How long a measure must be beyond a threshold by default. */
export const FIRE_AFTER_MS = 10_000;
/** How long it must be within bounds for the alert to end by default. */
export const END_AFTER_MS = 30_000;
/** Most alerts of one rule at once: one for each lost instance. */
export const MAX_SUBJECTS = 20;

/** How severe an alert is. */
export type Severity = "info" | "warning" | "critical";

/** Measurements of the whole cluster that rules judge. */
export interface Signs {
  /** Average of the slowest instance's latest sample, in milliseconds. */
  readonly deliveryMs: Measure;
  /** Connections refused in the last {@link COUNTED_MS}. */
  readonly failedConnections: Measure;
  /** Tokens not accepted in the last {@link COUNTED_MS}. */
  readonly failedAuthentications: Measure;
  /** Requests over a rate limit in the last {@link COUNTED_MS}. */
  readonly rateViolations: Measure;
  /** Commits and reads that failed in the last {@link COUNTED_MS}. */
  readonly storeFailures: Measure;
  /** Milliseconds since the newest block; 0 when none is expected. */
  readonly headAgeMs: Measure;
  /** Longest time that the links of an instance received nothing, in milliseconds. */
  readonly linkSilentMs: Measure;
  /** The largest process, in bytes of resident memory. */
  readonly memoryBytes: Measure;
  /** Instances that stopped reporting without leaving, by name. */
  readonly lostInstances: readonly string[];
}

/** A number, and its subject. */
export interface Measure {
  /** How much. */
  readonly value: number;
  /** The instance or channel with the worst value; absent for all together. */
  readonly subject?: string | undefined;
}

/** The name of a rule: the `type` of its alerts. */
export type AlertType =
  | "delivery_time"
  | "failed_connections"
  | "failed_authentications"
  | "rate_violations"
  | "store_failures"
  | "store_unreachable"
  | "stale_head"
  | "link_silent"
  | "isolate_lost"
  | "memory";

/** When to raise an alert, and when to end it. */
export interface Rule {
  /** Its name. */
  readonly type: AlertType;
  /** How much its alerts matter. */
  readonly severity: Severity;
  /** A measure beyond this is bad. */
  readonly threshold: number;
  /** A measure up to this is good; what lies between changes nothing. */
  readonly endAt: number;
  /** How long it must be bad, in milliseconds; 0: at once. */
  readonly fireAfterMs: number;
  /** How long it must be good, in milliseconds. */
  readonly endAfterMs: number;
  /** What is measured, one for each subject. */
  readonly measure: (signs: Signs) => readonly Measure[];
  /** A sentence for a person: what is wrong, and how much. */
  readonly say: (value: number, subject: string | undefined) => string;
}

/** Settings of the rules. */
export interface RuleOptions {
  /** Most resident memory of a process, in bytes. */
  memoryBytes: number;
}

function rule(
  type: AlertType,
  threshold: number,
  measure: Rule["measure"],
  say: Rule["say"],
  options: Partial<Rule> = {},
): Rule {
  return {
    type,
    severity: "warning",
    threshold,
    endAt: threshold * HYSTERESIS,
    fireAfterMs: FIRE_AFTER_MS,
    endAfterMs: END_AFTER_MS,
    measure,
    say,
    ...options,
  };
}

const seconds = (ms: number) => `${Math.round(ms / 1_000)} s`;
const AT_ONCE: Partial<Rule> = { fireAfterMs: 0 };

/** Every rule that the monitor judges by. */
export function rules({ memoryBytes }: RuleOptions): Rule[] {
  return [
    rule(
      "delivery_time",
      SLOW_DELIVERY_MS,
      (signs) => [signs.deliveryMs],
      (value) => `High event delivery latency: ${value.toFixed(1)} ms`,
    ),
    rule(
      "failed_connections",
      MAX_FAILED_CONNECTIONS,
      (signs) => [signs.failedConnections],
      (value) => `High connection failure rate: ${value} refused in a minute`,
      AT_ONCE,
    ),
    rule(
      "failed_authentications",
      MAX_FAILED_AUTHENTICATIONS,
      (signs) => [signs.failedAuthentications],
      (value) => `${value} tokens were not accepted in a minute`,
      AT_ONCE,
    ),
    rule(
      "rate_violations",
      MAX_RATE_VIOLATIONS,
      (signs) => [signs.rateViolations],
      (value) => `${value} requests over a rate limit in a minute`,
      AT_ONCE,
    ),
    rule(
      "store_failures",
      MAX_STORE_FAILURES,
      (signs) => [signs.storeFailures],
      (value) => `The log failed ${value} times in a minute`,
      { ...AT_ONCE, severity: "critical" },
    ),
    rule(
      "stale_head",
      STALE_HEAD_MS,
      (signs) => [signs.headAgeMs],
      (value) => `No block for ${seconds(value)}`,
      { ...AT_ONCE, severity: "critical", endAfterMs: 0 },
    ),
    rule(
      "link_silent",
      SILENT_LINK_MS,
      (signs) => [signs.linkSilentMs],
      (value) =>
        `An instance has received nothing over its link for ${
          seconds(value)
        }; events reach it late`,
      AT_ONCE,
    ),
    rule(
      "isolate_lost",
      0,
      (signs) =>
        signs.lostInstances.slice(0, MAX_SUBJECTS)
          .map((subject) => ({ value: 1, subject })),
      (_value, subject) =>
        `Instance ${subject} stopped reporting without leaving`,
      { ...AT_ONCE, endAt: 0, endAfterMs: 0 },
    ),
    rule(
      "memory",
      memoryBytes,
      (signs) => [signs.memoryBytes],
      (value) => `A process holds ${Math.round(value / 2 ** 20)} MiB of memory`,
    ),
  ];
}

/** An alert that was raised and has not ended. */
export interface Alert {
  /** Unique; the same from its beginning to its end. */
  readonly id: string;
  /** The rule that raised it. */
  readonly type: AlertType;
  /** How much it matters. */
  readonly severity: Severity;
  /** A sentence for a person. */
  readonly message: string;
  /** What it is about; absent for the whole cluster. */
  readonly subject?: string | undefined;
  /** What was measured last. */
  readonly value: number;
  /** What it was measured against. */
  readonly threshold: number;
  /** When it was raised, in epoch milliseconds. */
  readonly startedAt: number;
  /**
   * Whether it was reported; not while an operator silences its rule. Stored
   * under this name.
   */
  readonly told: boolean;
}

/** A change to report: an alert began or ended. */
export interface Change {
  /** Which way. */
  readonly status: "firing" | "resolved";
  /** The alert as it is now. */
  readonly alert: Alert;
  /** When, in epoch milliseconds. */
  readonly at: number;
}

/** Alerts that have not ended, by rule and subject. */
export type ActiveAlerts = Readonly<Record<string, Alert>>;

/**
 * Since when a change is due, by rule and subject, on the judge's monotonic
 * clock. Another judge begins to wait again.
 */
export type PendingSince = Readonly<Record<string, number>>;

/** State that is carried from one evaluation to the next. */
export interface Memory {
  /** Active alerts, from which the next evaluation continues. */
  readonly active: ActiveAlerts;
  /** Changes that have to last before they count. */
  readonly since: PendingSince;
}

/** Nothing is wrong. */
export const NO_ALERTS: Memory = { active: {}, since: {} };

/** What {@link judge} needs besides the measurements. */
export interface JudgeOptions {
  /** The wall clock, in epoch milliseconds: when alerts begin and end. */
  readonly now: number;
  /** The monotonic clock, in milliseconds: how long a measure has lasted. */
  readonly monotonic: number;
  /** Whether alerts of a rule are not reported now. */
  readonly isSilenced: (type: AlertType) => boolean;
  /** Ids for alerts. */
  readonly nextId: (now: number) => string;
}

/**
 * Judges measurements.
 *
 * @param memory of the previous evaluation; not changed.
 * @param signs the measurements.
 * @param all the rules.
 * @param options the time, and which rules are silenced.
 * @returns the memory for the next evaluation, and the changes to report.
 */
export function judge(
  memory: Memory,
  signs: Signs,
  all: readonly Rule[],
  { now, monotonic, isSilenced, nextId }: JudgeOptions,
): { memory: Memory; changes: Change[] } {
  const active: Record<string, Alert> = {};
  const since: Record<string, number> = {};
  const changes: Change[] = [];
  for (const rule of all) {
    const silenced = isSilenced(rule.type);
    for (const [key, { value, subject }] of measured(rule, signs, memory)) {
      const before = memory.active[key];
      const turns = before ? value <= rule.endAt : value > rule.threshold;
      const began = turns ? memory.since[key] ?? monotonic : undefined;
      const waitMs = before ? rule.endAfterMs : rule.fireAfterMs;
      const isDue = began !== undefined && monotonic - began >= waitMs;
      if (!isDue && began !== undefined) since[key] = began;
      if (before && isDue) {
        const alert = { ...before, value };
        if (before.told) changes.push({ status: "resolved", alert, at: now });
        continue;
      }
      if (!before && !isDue) continue;
      const alert: Alert = before
        ? worsened(before, rule, value, subject)
        : raised(rule, value, subject, now, nextId);
      const told = alert.told || !silenced;
      active[key] = { ...alert, told };
      if (told && !alert.told) {
        changes.push({ status: "firing", alert: active[key], at: now });
      }
    }
  }
  return { memory: { active, since }, changes };
}

function raised(
  { type, severity, threshold, say }: Rule,
  value: number,
  subject: string | undefined,
  now: number,
  nextId: (now: number) => string,
): Alert {
  return {
    id: nextId(now),
    type,
    severity,
    message: say(value, subject),
    ...(subject === undefined ? {} : { subject }),
    value,
    threshold,
    startedAt: now,
    told: false,
  };
}

/** An alert that stays active shows the current value. */
function worsened(
  alert: Alert,
  { threshold, say }: Rule,
  value: number,
  subject: string | undefined,
): Alert {
  const about = subject ?? alert.subject;
  if (value <= threshold) return alert;
  const message = say(value, about);
  return { ...alert, value, message, ...(about && { subject: about }) };
}

/**
 * What a rule measures now, by the key under which it is remembered: a measure
 * of the whole cluster has one, whichever instance is the worst.
 */
function measured(
  rule: Rule,
  signs: Signs,
  memory: Memory,
): Map<string, Measure> {
  const found = new Map<string, Measure>();
  const isOneEach = rule.type === "isolate_lost";
  for (const measure of rule.measure(signs)) {
    const name = isOneEach ? `${rule.type} ${measure.subject}` : rule.type;
    found.set(name, measure);
  }
  for (const [key, { type, subject }] of Object.entries(memory.active)) {
    if (type === rule.type && !found.has(key)) {
      found.set(key, { value: 0, subject });
    }
  }
  return found;
}

/** An alert as the channel `alerts` and the webhook carry it. */
export function toPayload({ status, alert, at }: Change): AlertPayload {
  const { id, type, severity, message, subject, value, threshold, startedAt } =
    alert;
  return {
    type,
    severity,
    message: status === "firing" ? message : `Ended: ${message}`,
    timestamp: new Date(at).toISOString(),
    ...(subject === undefined ? {} : { subject }),
    status,
    value,
    threshold,
    alertId: id,
    startedAt: new Date(startedAt).toISOString(),
  };
}

/** The payload of an `ALERT_TRIGGERED` that the service itself raises. */
export interface AlertPayload {
  /** The rule. */
  readonly type: AlertType;
  /** How much it matters. */
  readonly severity: Severity;
  /** A sentence for a person. */
  readonly message: string;
  /** When it began or ended, in ISO 8601. */
  readonly timestamp: string;
  /** What it is about; absent for the whole cluster. */
  readonly subject?: string;
  /** Whether it began or ended. */
  readonly status: "firing" | "resolved";
  /** What was measured. */
  readonly value: number;
  /** What it was measured against. */
  readonly threshold: number;
  /** The same at its beginning and its end. */
  readonly alertId: string;
  /** When it began, in ISO 8601. */
  readonly startedAt: string;
}
