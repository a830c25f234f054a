/**
 * The guards of one instance: admission of connections, and rate limits.
 *
 * @module
 */
import type { Clock } from "../platform/clock.ts";
import type { Logger } from "../platform/logger.ts";
import { MemoryGuard } from "../monitoring/memory_guard.ts";
import type { Sessions } from "../realtime/sessions.ts";
import { MESSAGES_PER_REQUEST } from "../routes/budgets.ts";
import { Gate } from "../routes/gate.ts";
import type { GateParts } from "../routes/gate.ts";
import { BlockList } from "../security/block_list.ts";
import { createClientIp } from "../security/client_ip.ts";
import { identifier } from "../security/identity.ts";
import { RateLimit } from "../security/rate_limit.ts";
import { Revocations } from "../security/revocations.ts";
import { SecurityLog } from "../security/security_log.ts";
import { createTokens } from "../security/tokens.ts";
import type { Tokens } from "../security/tokens.ts";
import type { Store } from "../store/store.ts";
import type { Settings } from "./settings.ts";

/** Clients without a token are refused at this multiple of ALERT_MEMORY_MB. */
const FULL_SHARE = 2;

/** Options of the guards. */
export interface GuardsOptions {
  /** Validated settings. */
  readonly settings: Settings;
  /** Secrets of tokens; at least one, unless a key server is set. */
  readonly secrets: readonly string[];
  /** Shares blocks, revocations and counts; closed by the caller. */
  readonly kv: Store;
  /** Time. */
  readonly clock: Clock;
  /** The operators' log. */
  readonly logger: Logger;
  /** Clients connected to the instance. */
  readonly sessions: Sessions;
  /** Number of instances in the process. */
  readonly instances: number;
  /** Resident memory of the process, in bytes. */
  readonly memoryUsage: () => number;
  /** Refuses new connections while the instance drains. */
  readonly inService: GateParts["inService"];
}

/** The guards of one instance. */
export interface Guards extends AsyncDisposable {
  /** Admits clients. */
  readonly gate: Gate;
  /** Blocked addresses. */
  readonly blocks: BlockList;
  /** Revoked tokens. */
  readonly revocations: Revocations;
  /** What happened. */
  readonly securityLog: SecurityLog;
  /** Verifies tokens. */
  readonly tokens: Tokens;
  /** Budgets by address, by what they count. */
  readonly limits: GateParts["limits"];
}

/** Opens the guards of one instance. */
export function openGuards(options: GuardsOptions): Guards {
  const { settings, secrets, kv, clock, logger, sessions } = options;
  const { instances, memoryUsage, inService } = options;
  const securityLog = new SecurityLog({ kv, clock });
  const revocations = new Revocations({ kv, clock });
  const blocks = new BlockList({
    kv,
    clock,
    allow: [...settings.TRUSTED_PROXIES, ...settings.ALLOWED_IPS],
  });
  /** A budget by address; one instance may grant all of it before it reads the store. */
  const limit = (name: string, times: number) => {
    const most = settings.RATE_LIMIT_MAX * times;
    const windowMs = settings.RATE_LIMIT_WINDOW_MS;
    const size = { limit: most, windowMs, maxUnshared: most };
    return new RateLimit({ kv, clock, name, ...size });
  };
  const limits = {
    connections: limit("connections", 1),
    messages: limit("messages", MESSAGES_PER_REQUEST),
    http: limit("http", 1),
  };
  const tokens = createTokens({
    secrets,
    jwksUrl: settings.JWKS_URL,
    issuer: settings.JWT_ISSUER,
    audience: settings.JWT_AUDIENCE,
    clock,
  });
  const memoryGuard = new MemoryGuard({
    clock,
    sessions,
    instances,
    memoryUsage,
    limitBytes: settings.ALERT_MEMORY_MB * 2 ** 20 * FULL_SHARE,
    logger,
  });
  const gate = new Gate({
    isMemoryFull: () => memoryGuard.isFull,
    clientIp: createClientIp({ trustedProxies: settings.TRUSTED_PROXIES }),
    blocks,
    revocations,
    limits,
    windowMs: settings.RATE_LIMIT_WINDOW_MS,
    sessions,
    maxConnections: settings.MAX_CONNECTIONS,
    maxConnectionsPerIp: settings.MAX_CONNECTIONS_PER_IP,
    allowedOrigins: settings.ALLOWED_ORIGINS,
    requireAuth: settings.REQUIRE_AUTH,
    identify: identifier(tokens, revocations),
    inService,
    securityLog,
    clock,
  });
  return {
    gate,
    blocks,
    revocations,
    securityLog,
    tokens,
    limits,
    async [Symbol.asyncDispose]() {
      memoryGuard[Symbol.dispose]();
      gate[Symbol.dispose]();
      const shared = [revocations, blocks, securityLog];
      for (const part of [...shared, ...Object.values(limits)]) {
        await part[Symbol.asyncDispose]();
      }
    },
  };
}
