/**
 * The files for containers, held against what the service, its settings and
 * its other files really are. No engine is needed; `nginx` and
 * `docker-compose`, where they are installed, read what is theirs.
 */
import assert from "node:assert/strict";
import { parse } from "yaml";
import {
  FILE_SETTING_NAMES,
  readSettings,
  SETTING_NAMES,
} from "../../server/settings.ts";
import { freePort } from "../postgres.ts";
import { TestServer } from "../server.ts";

const ROOT = new URL("../../", import.meta.url);
const FOLDER = new URL("deploy/", ROOT);
const FILES = ["compose.yaml", "compose.several.yaml"] as const;
/** What an operator gives where a file asks for it. */
const GIVEN: Readonly<Record<string, string>> = {
  JWT_SECRET: "a".repeat(44),
  KALDRIX_PASSWORD: "secret1",
  STANDBY_PASSWORD: "secret2",
};

/** A service as a file describes it. */
interface Service {
  readonly build?: { readonly context: string; readonly dockerfile: string };
  readonly image?: string;
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly depends_on?:
    | readonly string[]
    | Readonly<Record<string, { readonly condition: string }>>;
  readonly network_mode?: string;
  readonly networks?: readonly string[];
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
}

/** A file for several containers. */
interface Compose {
  readonly text: string;
  readonly services: Readonly<Record<string, Service>>;
  readonly networks?: Readonly<Record<string, unknown>>;
  readonly volumes?: Readonly<Record<string, unknown>>;
}

async function readCompose(name: string): Promise<Compose> {
  const text = await Deno.readTextFile(new URL(name, FOLDER));
  const filled = text.replace(
    /\$\{(\w+):\?[^}]*\}/g,
    (_, variable) => GIVEN[variable] ?? assert.fail(`${variable} is asked for`),
  );
  return { ...parse(filled, { merge: true }), text };
}

const composes = new Map<string, Compose>();
for (const name of FILES) composes.set(name, await readCompose(name));
const several = composes.get("compose.several.yaml")!;
const dockerfile = await Deno.readTextFile(new URL("Dockerfile", FOLDER));

/** The values of an instruction of the Dockerfile. */
function instructions(name: string): string[] {
  const lines = dockerfile.replaceAll(/ *\\\n */g, " ").split("\n");
  return lines.filter((line) => line.startsWith(`${name} `))
    .map((line) => line.slice(name.length + 1).trim());
}

/** What the Dockerfile puts into the environment. */
const imageEnvironment: Readonly<Record<string, string>> = Object.fromEntries(
  instructions("ENV").flatMap((line) =>
    line.split(" ").map((each) => each.split("=") as [string, string])
  ),
);

/** Services that run the image of this repository. */
function ownServices({ services }: Compose): [string, Service][] {
  return Object.entries(services).filter(([, { build }]) => build);
}

async function isThere(path: string, base: URL): Promise<boolean> {
  return await Deno.stat(new URL(path, base)).then(() => true, () => false);
}

/** Requires a program to succeed; reports when it is not installed. */
async function succeeds(
  program: string,
  args: string[],
  env: Readonly<Record<string, string>> = {},
): Promise<void> {
  for (const path of [program, `/usr/sbin/${program}`]) {
    try {
      const { success, stdout, stderr } = await new Deno.Command(path, {
        args,
        env,
        cwd: FOLDER,
      }).output();
      const text = [stdout, stderr].map((it) => new TextDecoder().decode(it));
      return assert(success, text.join(""));
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  // deno-lint-ignore no-console -- a skipped test reports it.
  console.warn(`${program} is not installed: a test of deploy/ is skipped`);
}

for (const [name, compose] of composes) {
  Deno.test(`${name} gives the service settings that it has, and may start with`, () => {
    for (const [, { environment = {} }] of ownServices(compose)) {
      const known: readonly string[] = [
        ...SETTING_NAMES,
        ...FILE_SETTING_NAMES,
      ];
      const unknown = Object.keys(environment).filter((it) =>
        !known.includes(it)
      );
      assert.deepEqual(unknown, []);
      const all = { ...imageEnvironment, ...environment };
      const settings = readSettings((it) => all[it], { dev: false });
      assert.equal(settings.PORT, 3000);
    }
  });

  Deno.test(`${name} names files, networks, volumes and services that are there`, async () => {
    const { services, volumes = {}, networks = {} } = compose;
    for (const [service, it] of Object.entries(services)) {
      for (const volume of it.volumes ?? []) {
        const [from] = volume.split(":") as [string];
        const exists = from.startsWith(".")
          ? await isThere(from, FOLDER)
          : from in volumes;
        assert(exists, `${service}: ${volume}`);
      }
      for (const network of it.networks ?? []) assert(network in networks);
      const { depends_on = [] } = it;
      const others = Array.isArray(depends_on)
        ? depends_on as string[]
        : Object.keys(depends_on);
      const [, shared] = it.network_mode?.split("service:") ?? [];
      if (shared) others.push(shared);
      for (const other of others) assert(other in services, other);
      if (!it.build) continue;
      const context = new URL(`${it.build.context}/`, FOLDER);
      assert.equal(context.href, ROOT.href);
      assert(await isThere(it.build.dockerfile, context));
    }
  });

  Deno.test(`${name} lists at its top the values that it requires`, () => {
    const [top] = compose.text.split(/^name:/m) as [string];
    for (const [, variable] of compose.text.matchAll(/\$\{(\w+)/g)) {
      assert(top.includes(variable!), `${variable}`);
    }
    assert(top.includes(`-f deploy/${name}`));
  });

  Deno.test(`${name} waits for the health of services that report it`, () => {
    for (const { depends_on = {} } of Object.values(compose.services)) {
      if (Array.isArray(depends_on)) continue;
      for (const [other, { condition }] of Object.entries(depends_on)) {
        if (condition !== "service_healthy") continue;
        assert(compose.services[other]!.build, other);
        assert.equal(instructions("HEALTHCHECK").length, 1);
      }
    }
  });

  Deno.test(`${name} is read by docker-compose`, async () => {
    const path = await Deno.makeTempFile({ suffix: ".yaml" });
    try {
      // Its first version does not know the name of a project in the file.
      await Deno.writeTextFile(path, compose.text.replace(/^name: .*$/m, ""));
      const project = ["--project-directory", FOLDER.pathname];
      await succeeds(
        "docker-compose",
        ["-f", path, ...project, "config", "-q"],
        GIVEN,
      );
    } finally {
      await Deno.remove(path);
    }
  });

  Deno.test(`${name} gives nginx a valid configuration, before every instance`, async () => {
    const { nginx } = compose.services as { nginx: Service };
    const folder = await Deno.makeTempDir({ prefix: "kaldrix-containers-" });
    const site = `${folder}/site.conf`;
    try {
      const shipped = new URL("nginx.conf", FOLDER).pathname;
      if (nginx.command) {
        const [shell, flag, line] = nginx.command as [string, string, string];
        const [make] = line.split(" && ") as [string];
        const { success } = await new Deno.Command(shell, {
          args: [
            flag,
            make.replace("/nginx.conf", shipped)
              .replace("/etc/nginx/conf.d/default.conf", site),
          ],
        }).output();
        assert(success, make);
      } else await Deno.copyFile(shipped, site);
      const text = await Deno.readTextFile(site);
      const servers = [...text.matchAll(/\bserver (\S+:\d+)/g)]
        .map(([, address]) => address);
      const instances = ownServices(compose).map(([service, { environment }]) =>
        `${environment!["HOST"] ?? service}:${imageEnvironment["PORT"]}`
      );
      assert.deepEqual(servers, instances);
      const published = Object.values(compose.services)
        .flatMap(({ ports = [] }) => ports);
      assert.deepEqual(published, ["80:80"]);
      assert.match(text, /listen 80;/);

      // Their names are known among the containers alone.
      const here = ownServices(compose).reduce(
        (all, [service]) => all.replaceAll(`${service}:`, "127.0.0.1:"),
        text,
      ).replace("listen 80;", `listen 127.0.0.1:${freePort()};`);
      await Deno.writeTextFile(site, here);
      const main = `${folder}/nginx.conf`;
      await Deno.writeTextFile(
        main,
        `pid ${folder}/pid; error_log stderr; events {} http { access_log off; include ${site}; }`,
      );
      await succeeds("nginx", ["-t", "-c", main]);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

Deno.test("the databases of compose.several.yaml get what their script requires, and services find them", async () => {
  const { services, networks } = several;
  const script = await Deno.readTextFile(new URL("database.sh", FOLDER));
  const asked = [...script.matchAll(/\$\{(\w+):\?\}/g)].map(([, it]) => it!);
  assert(asked.length > 0);
  const databases = Object.entries(services).filter(([, { image }]) =>
    image?.startsWith("postgres:")
  );
  const names = databases.map(([name]) => name);
  for (const [name, { environment = {}, volumes = [], command }] of databases) {
    for (const variable of asked) assert(environment[variable], variable);
    assert.equal(environment["NAME"], name);
    assert.equal(environment["PEERS"], `host=${names}`);
    assert.equal(environment["STANDBYS"], `ANY 1 (${names.join(", ")})`);
    assert(volumes.includes(`./database.sh:${command![1]}:ro`));
    const [, folder] = volumes.find((it) => it.startsWith(`${name}:`))!
      .split(":");
    assert(environment["PGDATA"]!.startsWith(`${folder}/`));
  }
  const subnets = Object.values(networks!).map((it) =>
    (it as { ipam?: { config: [{ subnet: string }] } }).ipam?.config[0].subnet
  );
  for (const [, { environment = {} }] of ownServices(several)) {
    const { KV_PATH, TRUSTED_PROXIES } = environment;
    const [, user, password, hosts, database] =
      /^postgres:\/\/(\w+):(\w+)@([^/]+)\/(\w+)$/.exec(KV_PATH!)!;
    assert.equal(hosts, `${names}`);
    assert.equal(password, GIVEN["KALDRIX_PASSWORD"]);
    assert(script.includes(`create database ${database} owner ${user}\n`));
    assert(script.includes(`create role ${user} login password`));
    assert(subnets.includes(TRUSTED_PROXIES));
  }
});

Deno.test("the image holds every file that the service loads, and is given no other", async () => {
  const sources = instructions("COPY")
    .filter((line) => !line.startsWith("--from"))
    .flatMap((line) => line.split(" ").slice(0, -1));
  for (const source of sources) assert(await isThere(source, ROOT), source);
  const ignored = await Deno.readTextFile(
    new URL("Dockerfile.dockerignore", FOLDER),
  );
  const [first, ...lines] = ignored.trim().split("\n");
  assert.equal(first, "*");
  const passing = lines.filter((line) => line.startsWith("!"))
    .map((line) => line.slice(1));
  assert.deepEqual(new Set(passing), new Set(sources));

  const local = new Set<string>();
  for (const entry of ["start.ts", "isolate.ts", "server/serve_args.ts"]) {
    const { success, stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["info", "--json", entry],
      cwd: ROOT,
    }).output();
    assert(success, entry);
    const { modules } = JSON.parse(new TextDecoder().decode(stdout)) as {
      readonly modules: readonly { readonly specifier: string }[];
    };
    for (const { specifier } of modules) {
      if (!specifier.startsWith(ROOT.href)) continue;
      local.add(specifier.slice(ROOT.href.length));
    }
  }
  assert(local.size > 100);
  const missing = [...local].filter((path) =>
    !sources.some((it) => path === it || path.startsWith(`${it}/`))
  );
  assert.deepEqual(missing, []);
});

Deno.test("the image's health check succeeds while the service is ready, and fails without one", async () => {
  const [line] = instructions("HEALTHCHECK") as [string];
  const [program, ...args] = JSON.parse(line.slice(line.indexOf("["))) as [
    string,
    ...string[],
  ];
  assert.equal(program, "deno");
  assert.match(
    dockerfile,
    /^COPY --from=deno \/deno \/usr\/local\/bin\/deno$/m,
  );
  const check = async (port: number) => {
    const { code } = await new Deno.Command(Deno.execPath(), {
      args,
      env: { PORT: String(port) },
      stderr: "null",
    }).output();
    return code;
  };
  await using server = await TestServer.start();
  assert.equal(await check(server.port), 0);
  assert.notEqual(await check(freePort()), 0);
});
