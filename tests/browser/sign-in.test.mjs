// The default flows in a browser, with and without JavaScript.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { assertAccessible, launch, newPage, picture, submit } from "./browser.mjs";
import { PASSWORD, startServer } from "./server.mjs";

let browser, server;
before(async () => {
  server = await startServer();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

async function identify(page, name) {
  await page.goto("/");
  await page.waitForURL("**/if/flow/default-authentication-flow/**");
  await page.fill("[name=uid_field]", name);
  await submit(page);
  await page.waitForSelector("[name=password]");
}

async function signIn(page, name = "akadmin", password = PASSWORD) {
  await identify(page, name);
  await page.fill("[name=password]", password);
  await submit(page);
}

/** What a refused answer is called: beside its field, or above the form. */
const refusal = (page) => page.locator("[role=alert], [id$=-error]").filter({ hasText: /\S/ }).first();

/** Who the server thinks this browser is. */
async function me(page) {
  const answer = await page.request.get("/api/v3/core/users/me/");
  return answer.ok() ? (await answer.json()).user.username : answer.status();
}

for (const javaScriptEnabled of [true, false]) {
  const label = javaScriptEnabled ? "with" : "without";
  describe(`${label} JavaScript`, () => {
    it("a person signs in and lands on a page of their own", async () => {
      const page = await newPage(browser, server, { javaScriptEnabled });
      await signIn(page);
      await page.waitForURL("**/if/user/**");
      await picture(page, `landing-${label}-javascript`);
      assert.equal(await me(page), "akadmin");
      assert.match(await page.textContent("body"), /akadmin|authentik Default Admin/);
      assert.deepEqual(page.complaints, []);
      await page.context().close();
    });

    it("a wrong password is refused, and the right one then accepted", async () => {
      const page = await newPage(browser, server, { javaScriptEnabled });
      await signIn(page, "akadmin", "not the password");
      await refusal(page).waitFor();
      assert.equal(await page.getAttribute("[name=password]", "aria-invalid"), "true");
      await picture(page, `wrong-password-${label}-javascript`);
      assert.equal(await me(page), 403);
      assert.equal(await page.inputValue("[name=password]"), "", "a refused password is not sent back");
      await page.fill("[name=password]", PASSWORD);
      await submit(page);
      await page.waitForURL("**/if/user/**");
      assert.equal(await me(page), "akadmin");
      await page.context().close();
    });

    it("an unknown name goes as far as a known one with a wrong password", async () => {
      const page = await newPage(browser, server, { javaScriptEnabled });
      await signIn(page, "nobody-of-this-name", "whatever it is");
      await refusal(page).waitFor();
      assert.equal(await me(page), 403);
      await page.context().close();
    });

    it("signing out ends the session", async () => {
      const page = await newPage(browser, server, { javaScriptEnabled });
      await signIn(page);
      await page.waitForURL("**/if/user/**");
      await page.locator('a[href*="/default/invalidation/"], form[action*="/default/invalidation/"] button').first().click();
      await page.waitForURL("**/if/flow/default-authentication-flow/**");
      assert.equal(await me(page), 403);
      await page.goto("/if/user/");
      assert.match(page.url(), /default-authentication-flow/, "the old page leads to signing in");
      await page.context().close();
    });
  });
}

it("a page asked for before signing in is shown after it", async () => {
  const page = await newPage(browser, server);
  await page.goto("/if/flow/default-authentication-flow/?next=%2Fif%2Fuser%2F%3Ffrom%3Dhere");
  await page.fill("[name=uid_field]", "akadmin");
  await submit(page);
  await page.fill("[name=password]", PASSWORD);
  await submit(page);
  await page.waitForURL("**/if/user/?from=here");
  await page.context().close();
});

it("somebody else's address as next is not followed", async () => {
  const page = await newPage(browser, server);
  await page.goto("/if/flow/default-authentication-flow/?next=%2F%2Fevil.example%2F");
  await page.fill("[name=uid_field]", "akadmin");
  await submit(page);
  await page.fill("[name=password]", PASSWORD);
  await submit(page);
  await page.getByText("Invalid next URL").waitFor();
  assert.equal(new URL(page.url()).origin, server.url);
  await page.context().close();
});

for (const colorScheme of ["light", "dark"]) {
  it(`every page of a sign-in is accessible, ${colorScheme}`, async () => {
    const page = await newPage(browser, server, { colorScheme });
    await page.goto("/if/flow/default-authentication-flow/?next=%2F");
    await assertAccessible(page, "identification");
    await picture(page, `identification-${colorScheme}`);
    await identify(page, "akadmin");
    await assertAccessible(page, "password");
    await picture(page, `password-${colorScheme}`);
    await page.fill("[name=password]", "not the password");
    await submit(page);
    await refusal(page).waitFor();
    await assertAccessible(page, "a refused password");
    await page.fill("[name=password]", PASSWORD);
    await submit(page);
    await page.waitForURL("**/if/user/**");
    await assertAccessible(page, "the landing page");
    await picture(page, `landing-${colorScheme}`);
    await page.context().close();
  });
}

it("password managers find what they look for", async () => {
  const page = await newPage(browser, server);
  await page.goto("/if/flow/default-authentication-flow/");
  assert.match(await page.getAttribute("[name=uid_field]", "autocomplete"), /username/);
  await identify(page, "akadmin");
  assert.equal(await page.getAttribute("[name=password]", "autocomplete"), "current-password");
  await page.context().close();
});

it("the sign-in page and all it loads stay below 50 KB", async () => {
  const page = await newPage(browser, server);
  const requests = [];
  page.on("requestfinished", (request) => requests.push(request));
  await page.goto("/if/flow/default-authentication-flow/", { waitUntil: "networkidle" });
  const sizes = await Promise.all(requests.map(async (it) => [it.url(), (await it.sizes()).responseBodySize]));
  const total = sizes.reduce((sum, [, size]) => sum + size, 0);
  assert.ok(total > 0 && total <= 50_000, `${total} bytes: ${JSON.stringify(sizes)}`);
  await page.context().close();
});
