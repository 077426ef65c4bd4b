// Duo in a browser: the page notices by itself that the account was opened, and a question is answered on the telephone.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, describe, it } from "node:test";
import { assertAccessible, launch, newPage, picture, submit } from "./browser.mjs";
import { PASSWORD, makeFlow, startServer } from "./server.mjs";

const HOST = "api-0123abcd.duosecurity.test";
const CODE = "duo://activate-0123";
const IMAGE = '<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><path d="M0 0h4v4H0zM4 4h4v4H4z"/></svg>';

/** What the next calls say; the signatures are the business of tests/components/test_duo.py. */
const duo = { status: "waiting", decision: "waiting", states: 0, enrolled: 0, questions: 0 };

function answer(path, given) {
  switch (path) {
    case "/auth/v2/enroll": {
      duo.enrolled += 1;
      const expiration = Math.floor(Date.now() / 1000) + 3600;
      const barcode = `https://${HOST}/frame/qr?value=0123`;
      return { user_id: `DU${duo.enrolled}`, username: given.get("username"), activation_code: CODE, activation_barcode: barcode, expiration };
    }
    case "/auth/v2/enroll_status":
      duo.states += 1;
      return duo.status;
    case "/auth/v2/auth":
      duo.questions += 1;
      return { txid: `T${duo.questions}` };
    case "/auth/v2/auth_status":
      return { result: duo.decision, status: duo.decision === "waiting" ? "pushed" : duo.decision };
  }
}

let browser, server, service;
before(async () => {
  service = createServer((request, response) => {
    let body = "";
    request.on("data", (part) => (body += part));
    request.on("end", () => {
      const said = answer(new URL(request.url, "http://localhost").pathname, new URLSearchParams(body));
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ stat: "OK", response: said }));
    });
  }).listen(0, "127.0.0.1");
  await once(service, "listening");
  server = await startServer({ env: { WEIR_OUTBOUND__DUO_URL: `http://127.0.0.1:${service.address().port}` } });
  await makeFlow(server, "duo", ["authenticator/duo", { client_id: "DI", client_secret: "secret", api_hostname: HOST }]);
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.stop();
  service?.close();
});

async function signIn(page, username) {
  await page.goto("/if/flow/default-authentication-flow/?next=%2Fif%2Fuser%2F");
  await page.fill("[name=uid_field]", username);
  await submit(page);
  await page.fill("[name=password]", PASSWORD);
  await submit(page);
}

for (const javaScriptEnabled of [true, false]) {
  const label = javaScriptEnabled ? "with" : "without";
  describe(`${label} JavaScript`, () => {
    it("an account is opened with Duo's app and asked at the next sign-in", async () => {
      Object.assign(duo, { status: "waiting", decision: "deny", states: 0, questions: 0 });
      const username = `duo-${label}`;
      const { pk } = await server.api("POST", "/core/users/", { username, name: username });
      await server.api("POST", `/core/users/${pk}/set_password/`, { password: PASSWORD });
      const page = await newPage(browser, server, { javaScriptEnabled });
      await page.route(`https://${HOST}/**`, (route) => route.fulfill({ contentType: "image/svg+xml", body: IMAGE }));
      await signIn(page, username);
      await page.waitForURL("**/if/user/**");
      await page.goto("/if/flow/duo/?next=%2Fif%2Fuser%2F");
      const image = page.getByRole("img", { name: "Activation code for Duo Mobile" });
      await image.waitFor();
      assert.equal(await page.getByRole("link", { name: /Open in Duo Mobile/ }).getAttribute("href"), CODE);
      await picture(page, `duo-setup-${label}-javascript`);
      if (javaScriptEnabled) {
        await page.getByText("Waiting for the app").waitFor();
        await assertAccessible(page, "Duo");
        assert.ok(await image.evaluate((shown) => shown.complete && shown.naturalWidth > 0), "the picture is shown");
        for (const until = Date.now() + 20_000; duo.states === 0 && Date.now() < until; ) await page.waitForTimeout(50);
        assert.ok(duo.states > 0, "the page asks by itself");
        assert.ok(page.url().includes("/if/flow/duo/"), "and stays while nothing happened");
        duo.status = "success";
        // Nothing is pressed.
        await page.waitForURL("**/if/user/**", { timeout: 20_000 });
      } else {
        duo.status = "success";
        await submit(page);
        await page.waitForURL("**/if/user/**");
        assert.equal(duo.states, 1);
      }
      const listed = await (await page.request.get("/api/v3/authenticators/duo/")).json();
      assert.equal(listed.results.length, 1);

      const other = await newPage(browser, server, { javaScriptEnabled });
      await signIn(other, username);
      const confirm = other.getByRole("button", { name: "Confirm with Duo" });
      await confirm.waitFor();
      await picture(other, `duo-asked-${label}-javascript`);
      assert.equal(duo.questions, 0, "nobody is asked before they say so");
      await confirm.click();
      await other.getByText("Duo denied access").first().waitFor();
      await picture(other, `duo-denied-${label}-javascript`);
      if (javaScriptEnabled) await assertAccessible(other, "Duo, denied");
      duo.decision = "allow";
      await confirm.click();
      await other.waitForURL("**/if/user/**");
      assert.equal(duo.questions, 2);
      assert.deepEqual([...page.complaints, ...other.complaints], []);
      await page.context().close();
      await other.context().close();
    });
  });
}

it("an account that Duo no longer knows is told to the person", async () => {
  Object.assign(duo, { status: "invalid" });
  const page = await newPage(browser, server);
  await page.route(`https://${HOST}/**`, (route) => route.fulfill({ contentType: "image/svg+xml", body: IMAGE }));
  await signIn(page, "akadmin");
  await page.waitForURL("**/if/user/**");
  await page.goto("/if/flow/duo/");
  await page.getByText("The code has expired.").waitFor({ timeout: 20_000 });
  await submit(page);
  await page.getByText("Invalid enrollment status: invalid.").waitFor();
  assert.deepEqual(page.complaints, []);
  await page.context().close();
});
