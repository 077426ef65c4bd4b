// The first start without any password: a link is printed once, and leads to a working administrator.
import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import { assertAccessible, launch, newPage, picture, submit } from "./browser.mjs";
import { startServer } from "./server.mjs";

const NEW_PASSWORD = "Nobody-guesses-this-1";
let browser, server;
before(async () => {
  server = await startServer({ bootstrap: false });
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

/** The printed link, as an address of this server. */
function setupLink() {
  const link = server.log().match(/https?:\/\/[^\s"'<>]*(?:setup|flow_token)[^\s"'<>]*/)?.[0];
  assert.ok(link, `no link in:\n${server.log()}`);
  const url = new URL(link);
  return `${url.pathname}${url.search}`;
}

it("without the link nobody sets the first password", async () => {
  const page = await newPage(browser, server);
  const answer = await page.goto("/if/flow/initial-setup/");
  assert.equal(await page.locator("[name=password]").count(), 0, `status ${answer.status()}`);
  await page.context().close();
});

it("the printed link lets the administrator choose a password and signs in", async () => {
  const page = await newPage(browser, server);
  await page.goto(setupLink());
  await page.waitForSelector("[name=password]");
  await assertAccessible(page, "set-up");
  await picture(page, "setup");
  await page.fill("[name=password]", NEW_PASSWORD);
  await page.fill("[name=password_repeat]", NEW_PASSWORD);
  if (await page.locator("[name=email]").count()) await page.fill("[name=email]", "akadmin@example.test");
  await submit(page);
  await page.waitForURL("**/if/user/**");
  await picture(page, "setup-done");
  const me = await (await page.request.get("/api/v3/core/users/me/")).json();
  assert.equal(me.user.username, "akadmin");
  await page.context().close();
});

it("the link works once", async () => {
  const page = await newPage(browser, server);
  await page.goto(setupLink());
  assert.equal(await page.locator("[name=password_repeat]").count(), 0);
  assert.equal((await page.request.get("/api/v3/core/users/me/")).status(), 403);
  await page.context().close();
});

it("the chosen password signs in afterwards", async () => {
  const page = await newPage(browser, server);
  await page.goto("/");
  await page.fill("[name=uid_field]", "akadmin");
  await submit(page);
  await page.fill("[name=password]", NEW_PASSWORD);
  await submit(page);
  await page.waitForURL("**/if/user/**");
  await page.context().close();
});
