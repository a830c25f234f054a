/**
 * The permissions that the service's process needs, by its settings.
 *
 * @module
 */
import { bellsOf, isDatabase, isRemote, witnessOf } from "../store/open.ts";
import { journalOf } from "../store/store_file.ts";
import type { Settings } from "./settings.ts";

/** Folders of served code. */
export const SERVED_FOLDERS: readonly string[] = [
  "chain",
  "describe",
  "monitoring",
  "platform",
  "protocol",
  "realtime",
  "routes",
  "security",
  "server",
  "sources",
  "store",
];
/** Files that the process reads: built pages, and the code of its workers. */
const OWN_FILES = [
  ...[...SERVED_FOLDERS, "client/dist"].toSorted(),
  "isolate.ts",
  "main.ts",
];
/** Default ports of URLs. */
const PORTS: Readonly<Record<string, number>> = {
  "http:": 80,
  "https:": 443,
  "ws:": 80,
  "wss:": 443,
  "postgres:": 5432,
  "postgresql:": 5432,
};

/**
 * The flags that grant Deno the permissions that these settings need.
 *
 * @param settings validated settings.
 * @param secretFiles files that contain settings.
 * @returns `--no-prompt` and `--allow-...`; besides them the set `serve` of
 * deno.json is needed for the settings themselves.
 */
export function rightsFor(
  settings: Settings,
  secretFiles: readonly string[],
): string[] {
  const { KV_PATH } = settings;
  const hosts = hostsFor(settings);
  const isFile = KV_PATH !== undefined && !isRemote(KV_PATH);
  const store = isFile
    ? [KV_PATH, bellsOf(KV_PATH), witnessOf(KV_PATH)].filter((path) => path)
    : [];
  const journal = isFile ? [journalOf(KV_PATH)] : [];
  return [
    "--no-prompt",
    hosts ? `--allow-net=${hosts.join(",")}` : "--allow-net",
    `--allow-read=${
      [...OWN_FILES, ...store, ...journal, ...secretFiles].join(",")
    }`,
    ...store.length > 0 ? [`--allow-write=${store.join(",")}`] : [],
    // The client of the database reads variables that are not set.
    ...isDatabase(KV_PATH) ? ["--ignore-env"] : [],
  ];
}

/** Addresses that the process uses; nothing when they are unknown. */
function hostsFor(settings: Settings): string[] | undefined {
  const { HOST, PORT, KV_PATH, SOURCE } = settings;
  const listens = `${HOST.includes(":") ? `[${HOST}]` : HOST}:${PORT}`;
  const urls = [
    settings.JWKS_URL,
    settings.ALERT_WEBHOOK_URL,
    // Several nodes, separated by commas.
    ...SOURCE === "evm" ? settings.EVM_RPC_URL!.split(/,(?=\w+:)/) : [],
  ];
  const hosts = urls.flatMap((url) => url === undefined ? [] : [hostOf(url)]);
  if (KV_PATH === undefined || !isRemote(KV_PATH)) return [listens, ...hosts];
  const stores = isDatabase(KV_PATH) ? databaseHosts(KV_PATH) : undefined;
  return stores && [listens, ...hosts, ...stores];
}

function hostOf(url: string): string {
  const { hostname, port, protocol } = new URL(url);
  return `${hostname}:${port || PORTS[protocol]}`;
}

/**
 * The hosts of `postgres://user:secret@host,host2:5433/database`; nothing when
 * the `PG...` variables name them. A KV service names further hosts itself.
 */
function databaseHosts(path: string): string[] | undefined {
  const [, authority] = /^postgres(?:ql)?:\/\/(?:[^/?#@]*@)?([^/?#]+)/
    .exec(path) ?? [];
  return authority?.split(",").map((host) =>
    /:\d+$/.test(host) ? host : `${host}:${PORTS["postgres:"]}`
  );
}
