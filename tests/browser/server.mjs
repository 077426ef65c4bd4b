// A throw-away server of the built binary (WEIR_BIN): fresh folder, free port.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

export const TOKEN = "token-of-a-throw-away-server-for-browser-tests";
export const PASSWORD = "Throw-away-password-1";

async function freePort() {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address();
  probe.close();
  await once(probe, "close");
  return port;
}

/** Starts a server; without `bootstrap` it is a first start that nobody has configured. `env` adds settings. */
export async function startServer({ bootstrap = true, env: more = {} } = {}) {
  const folder = await mkdtemp(join(tmpdir(), "weir-browser-"));
  const url = `http://127.0.0.1:${await freePort()}`;
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("WEIR_")));
  Object.assign(env, { WEIR_LISTEN: new URL(url).host, WEIR_DATA_DIR: folder }, more);
  if (bootstrap) Object.assign(env, { WEIR_BOOTSTRAP_PASSWORD: PASSWORD, WEIR_BOOTSTRAP_TOKEN: TOKEN });
  const child = spawn(process.env.WEIR_BIN, ["serve"], { cwd: folder, env, stdio: ["ignore", "pipe", "pipe"] });
  let log = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (log += text));

  const server = {
    url,
    log: () => log,
    async stop() {
      if (child.exitCode === null) {
        child.kill("SIGTERM");
        await once(child, "exit");
      }
      await rm(folder, { recursive: true, force: true });
    },
    /** The API as the bootstrap token's owner. */
    async api(method, path, body) {
      const headers = { Authorization: `Bearer ${TOKEN}`, "Content-Type": "application/json" };
      const answer = await fetch(`${url}/api/v3${path}`, { method, headers, body: body && JSON.stringify(body) });
      const text = await answer.text();
      if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
      return text && JSON.parse(text);
    },
  };
  for (const until = Date.now() + 60_000; Date.now() < until; await sleep(25)) {
    if (child.exitCode !== null) throw new Error(`the server ended at once:\n${log}`);
    const answer = await fetch(`${url}/-/health/ready/`).catch(() => null);
    if (answer?.ok) return server;
  }
  await server.stop();
  throw new Error(`the server did not become ready:\n${log}`);
}

/** Makes a flow of these stages: `[kind, fields]` in order. */
export async function makeFlow(server, slug, ...stages) {
  const flow = await server.api("POST", "/flows/instances/", {
    name: slug,
    slug,
    title: `Flow ${slug}`,
    designation: "stage_configuration",
  });
  for (const [order, [kind, fields]] of stages.entries()) {
    const stage = await server.api("POST", `/stages/${kind}/`, { name: `${slug}-${order}`, ...fields });
    await server.api("POST", "/flows/bindings/", { target: flow.pk, stage: stage.pk, order });
  }
  return flow;
}
