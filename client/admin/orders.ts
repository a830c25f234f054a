/**
 * What an operator may order, and what each order will do.
 *
 * @module
 */
import type {
  ActiveAlert,
  BlockInfo,
  OperatorApi,
  RevocationInfo,
  SessionInfo,
  Silence,
} from "./api.ts";
import { span, whole } from "./model.ts";
import type { Field, Filled, Order } from "./order.tsx";

/** How long things can be ordered for, in milliseconds. */
export const LENGTHS: readonly (readonly [number, string])[] = [
  [600_000, "10 minutes"],
  [3_600_000, "1 hour"],
  [86_400_000, "1 day"],
  [30 * 86_400_000, "30 days"],
];
/** Offered lengths of a silence: a week is the longest. */
const SILENCES = [...LENGTHS.slice(0, 3), [7 * 86_400_000, "7 days"]] as const;

/** The service's preview of an order. */
interface Effect {
  readonly sessions: number;
  readonly reachesYou: boolean;
  readonly complete: boolean;
}

const REASON: Field = { name: "reason", label: "Reason" };

/** What to block. */
export interface ToBlock {
  /** An address or a CIDR. */
  readonly ip: string;
  /** Filled in already; asked for when omitted. */
  readonly reason?: string;
  /** How long, in milliseconds; asked for when omitted. */
  readonly forMs?: string;
}

/** Blocks an address. */
export function block(api: OperatorApi, { ip, reason, forMs }: ToBlock): Order {
  const length = forMs === undefined
    ? "that long"
    : LENGTHS.find(([ms]) => String(ms) === forMs)?.[1] ?? "that long";
  return {
    title: `Block ${ip}`,
    verb: "Block",
    done: `Blocked ${ip}`,
    effect: async () => [
      ...sentencesOf(
        await effectOf(api, "ip", ip),
        "You connect from there: your own sessions end too, and the pages of the service no longer load. This page goes on while it is open, and can unblock it.",
      ),
      `No client connects from there for ${length}.`,
    ],
    fields: forMs === undefined
      ? [REASON, {
        name: "forMs",
        label: "For how long",
        value: String(LENGTHS[1]![0]),
        choices: LENGTHS,
      }]
      : [],
    run: (filled) => {
      const why = reason ?? filled("reason");
      return api.post("/api/admin/blocks", {
        ip,
        forMs: Number(forMs ?? filled("forMs")),
        ...(why ? { reason: why } : {}),
      });
    },
  };
}

/** Ends a block. */
export function unblock(api: OperatorApi, { ip, until }: BlockInfo): Order {
  const left = span(until - Date.now());
  return {
    title: `Unblock ${ip}`,
    verb: "Unblock",
    done: `Unblocked ${ip}`,
    effect: () => Promise.resolve([`It may connect again; ${left} were left.`]),
    run: () => api.delete(`/api/admin/blocks/${encodeURIComponent(ip)}`),
  };
}

/** What to revoke. */
export interface ToRevoke {
  /** Whether one token is meant, or all of a user. */
  readonly kind: RevocationInfo["kind"];
  /** The token's id, or the user. */
  readonly id: string;
  /** Why. */
  readonly reason: string;
}

/** Revokes a token, or those of a user. */
export function revoke(
  api: OperatorApi,
  { kind, id, reason }: ToRevoke,
): Order {
  const argument = kind === "user" ? "user" : "tokenId";
  return {
    title: `Revoke ${kind} ${id}`,
    verb: "Revoke",
    done: `Revoked ${kind} ${id}`,
    effect: async () => [
      ...sentencesOf(
        await effectOf(api, argument, id),
        "Your own token is meant: this page signs you out, and only another operator can take that back.",
      ),
      kind === "user"
        ? "All tokens issued until now are refused; newer ones are accepted."
        : "The token is refused from now on.",
    ],
    run: () =>
      api.post("/api/admin/revocations", {
        [argument]: id,
        ...(reason ? { reason } : {}),
      }),
  };
}

/** Takes a revocation back. */
export function restore(api: OperatorApi, { kind, id }: RevocationInfo): Order {
  return {
    title: `Restore ${kind} ${id}`,
    verb: "Restore",
    done: `Restored ${kind} ${id}`,
    effect: () =>
      Promise.resolve([
        kind === "user"
          ? "All tokens of this user are accepted again until they expire, those too that were issued before the revocation."
          : "The token is accepted again until it expires.",
      ]),
    run: () =>
      api.delete(`/api/admin/revocations/${kind}/${encodeURIComponent(id)}`),
  };
}

/** Ends a session. */
export function disconnect(api: OperatorApi, session: SessionInfo): Order {
  const name = nameOf(session);
  return {
    title: `Disconnect ${name}`,
    verb: "Disconnect",
    done: `Disconnected ${name}`,
    effect: () =>
      Promise.resolve([
        `Closes this one session, of ${session.ip}.`,
        "Its client does not connect again by itself, but it may.",
      ]),
    run: () => api.delete(`/api/admin/sessions/${session.id}`),
  };
}

/** Keeps a rule silent. */
export function silence(api: OperatorApi, { type }: ActiveAlert): Order {
  return {
    title: `Silence ${type}`,
    verb: "Silence",
    done: `Silenced ${type}`,
    effect: () =>
      Promise.resolve([
        `Alerts of the rule ${type} end, and none is raised or sent meanwhile, whatever it is about.`,
      ]),
    fields: [REASON, {
      name: "forMs",
      label: "For how long",
      value: String(LENGTHS[1]![0]),
      choices: SILENCES,
    }],
    run: (filled: Filled) =>
      api.post("/api/admin/alerts/silences", {
        type,
        forMs: Number(filled("forMs")),
        ...(filled("reason") ? { reason: filled("reason") } : {}),
      }),
  };
}

/** Ends the silence of a rule. */
export function unsilence(api: OperatorApi, { type, until }: Silence): Order {
  const left = span(until - Date.now());
  return {
    title: `Unsilence ${type}`,
    verb: "Unsilence",
    done: `Unsilenced ${type}`,
    effect: () =>
      Promise.resolve([
        `Alerts of this rule are raised and sent again; ${left} were left.`,
      ]),
    run: () => api.delete(`/api/admin/alerts/silences/${type}`),
  };
}

/** How a session is named, apart from all others. */
export function nameOf({ user, id }: SessionInfo): string {
  return `${user ?? "anonymous"} ${short(id)}`;
}

/** The end of a long id, in which ids differ. */
export function short(id: string): string {
  return id.length > 12 ? `…${id.slice(-10)}` : id;
}

async function effectOf(
  api: OperatorApi,
  argument: "ip" | "user" | "tokenId",
  value: string,
): Promise<Effect> {
  return await api.get(
    `/api/admin/effects?${argument}=${encodeURIComponent(value)}`,
  );
}

function sentencesOf(
  { sessions, reachesYou, complete }: Effect,
  yours: string,
): string[] {
  const count = sessions === 0
    ? "Closes no session: none is connected now."
    : `Closes ${whole(sessions)} ${sessions === 1 ? "session" : "sessions"}.`;
  return [
    count,
    ...(complete ? [] : ["Not all instances answered: there may be more."]),
    ...(reachesYou ? [yours] : []),
  ];
}
