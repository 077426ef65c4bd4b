// Signing in with a source in a browser: from the button on our page through the provider's pages and back. The
// provider is the certified npm package of the component tests.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createServer } from "node:net";
import { after, before, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { assertAccessible, launch, newPage, picture, submit } from "./browser.mjs";
import { PASSWORD, startServer } from "./server.mjs";

const folder = fileURLToPath(new URL("../components/oidc/", import.meta.url));
const people = {
  ann: { email: "ann@example.test", email_verified: true, name: "Ann Example", preferred_username: "ann" },
  cid: { email: "cid@example.test", email_verified: true, name: "Cid Example" },
};
let browser, server, provider;

async function startProvider() {
  if (!existsSync(`${folder}node_modules`)) {
    execFileSync("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], { cwd: folder });
  }
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address();
  probe.close();
  const client = { client_id: "weir", client_secret: "a secret of a client" };
  const clients = [{ ...client, redirect_uris: [`${server.url}/source/oauth/callback/home/`] }];
  const settings = JSON.stringify({ port, clients, people });
  const child = spawn("node", ["provider.mjs", settings], { cwd: folder, stdio: "ignore" });
  const issuer = `http://127.0.0.1:${port}`;
  for (const until = Date.now() + 20_000; Date.now() < until; await sleep(50)) {
    const answer = await fetch(`${issuer}/.well-known/openid-configuration`).catch(() => null);
    if (answer?.ok) return { issuer, stop: () => child.kill() };
  }
  throw new Error("the provider did not become ready");
}

before(async () => {
  server = await startServer();
  provider = await startProvider();
  const flow = async (slug) => (await server.api("GET", `/flows/instances/${slug}/`)).pk;
  const source = await server.api("POST", "/sources/oauth/", {
    name: "Example Provider",
    slug: "home",
    provider_type: "openidconnect",
    consumer_key: "weir",
    consumer_secret: "a secret of a client",
    pkce: "S256",
    promoted: true,
    oidc_well_known_url: `${provider.issuer}/.well-known/openid-configuration`,
    authentication_flow: await flow("default-source-authentication"),
    enrollment_flow: await flow("default-source-enrollment"),
  });
  const { results } = await server.api("GET", "/stages/identification/?name=default-authentication-identification");
  await server.api("PATCH", `/stages/identification/${results[0].pk}/`, { sources: [source.pk] });
  browser = await launch();
});
after(async () => {
  await browser?.close();
  provider?.stop();
  await server?.stop();
});

async function me(page) {
  const answer = await page.request.get("/api/v3/core/users/me/");
  return answer.ok() ? (await answer.json()).user.username : answer.status();
}

/** From our page to the provider's. */
async function leave(page) {
  await page.goto("/");
  await page.waitForURL("**/if/flow/default-authentication-flow/**");
  const button = page.getByRole("link", { name: /Example Provider/ });
  await button.waitFor();
  await button.click();
  await page.waitForURL(`${provider.issuer}/interaction/**`);
}

/** Through the provider's pages. */
async function agree(page, login) {
  await page.fill("[name=login]", login);
  await page.fill("[name=password]", "any");
  await page.click("[type=submit]");
  await page.waitForSelector("[name=prompt][value=consent]", { state: "attached" });
  await page.click("[type=submit]");
}

for (const javaScriptEnabled of [true, false]) {
  const label = javaScriptEnabled ? "with" : "without";
  it(`the button leads through the provider to a new account, ${label} JavaScript`, async () => {
    const page = await newPage(browser, server, { javaScriptEnabled });
    await page.goto("/");
    await page.getByRole("link", { name: /Example Provider/ }).waitFor();
    await picture(page, `source-button-${label}-javascript`);
    // The checker is a script itself.
    if (javaScriptEnabled) await assertAccessible(page, "the page with the button");
    await leave(page);
    await picture(page, `source-provider-${label}-javascript`);
    await agree(page, "ann");
    // New accounts made by sources are external: the interface is not for them.
    await page.waitForURL("**/if/user/**");
    await picture(page, `source-arrived-${label}-javascript`);
    assert.equal(await me(page), "ann");
    await page.context().close();
  });
}

it("a person without a name there chooses one here", async () => {
  const page = await newPage(browser, server);
  await leave(page);
  await agree(page, "cid");
  await page.waitForURL("**/if/flow/default-source-enrollment/**");
  await page.waitForSelector("[name=username]");
  await picture(page, "source-username");
  await assertAccessible(page, "the page of a source");
  await page.fill("[name=username]", "cid-of-my-choice");
  await submit(page);
  await page.waitForURL("**/if/user/**");
  assert.equal(await me(page), "cid-of-my-choice");
  await page.context().close();
});

it("saying no there leads to a page that says so, and back", async () => {
  const page = await newPage(browser, server);
  await leave(page);
  await page.getByText("Cancel").click();
  await page.waitForURL("**/source/oauth/callback/home/**");
  await page.getByText("The sign-in was cancelled.").waitFor();
  await picture(page, "source-cancelled");
  await assertAccessible(page, "the page of a source");
  await page.getByRole("link", { name: /start/ }).click();
  await page.waitForURL("**/if/flow/default-authentication-flow/**");
  await page.context().close();
});

it("somebody signed in is asked before another site connects an account", async () => {
  const page = await newPage(browser, server);
  await page.goto("/");
  await page.fill("[name=uid_field]", "akadmin");
  await submit(page);
  await page.fill("[name=password]", PASSWORD);
  await submit(page);
  await page.waitForURL("**/if/user/**");
  // Another origin: the provider's.
  await page.goto(`${provider.issuer}/nowhere`);
  await page.setContent(`<a href="${server.url}/source/oauth/login/home/">a harmless link</a>`);
  await page.getByText("a harmless link").click();
  await page.getByText("Another site led you here").waitFor();
  await picture(page, "source-confirm");
  await assertAccessible(page, "the page of a source");
  await page.getByRole("link", { name: "Continue" }).click();
  await page.waitForURL(`${provider.issuer}/interaction/**`);
  await page.context().close();
});
