// Captchas in a browser: our own calculation, and widgets of providers that behave as theirs are documented.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, describe, it } from "node:test";
import { assertAccessible, launch, newPage, picture, submit } from "./browser.mjs";
import { PASSWORD, makeFlow, startServer } from "./server.mjs";

const OWN = { public_key: "12", private_key: "unused", js_url: "/static/dist/flow/proof-of-work.js" };

/** What each provider's script defines, cut down to what pages use. */
const WIDGETS = {
  turnstile: `globalThis.turnstile = {
    render(element, options) {
      element.textContent = "turnstile";
      setTimeout(() => options.callback("token-of-turnstile"), 50);
      return "w1";
    },
  };`,
  hcaptcha: `globalThis.hcaptcha = {
    render(element, options) {
      const box = document.createElement("button");
      box.type = "button";
      box.textContent = "I am human";
      box.onclick = () => options.callback("token-of-hcaptcha");
      if (options.size !== "invisible") element.append(box);
      this.options = options;
      return "w1";
    },
    execute() {
      setTimeout(() => this.options.callback("token-of-hcaptcha"), 50);
    },
  };
  globalThis.grecaptcha = globalThis.hcaptcha;`,
  recaptcha: `globalThis.grecaptcha = {
    render: () => 0,
    execute: (widget, { action }) => Promise.resolve("token-of-recaptcha-" + action),
  };`,
};

let browser, server, provider, providerUrl;
before(async () => {
  server = await startServer();
  browser = await launch();
  provider = createServer((request, response) => {
    const url = new URL(request.url, "http://localhost");
    const name = url.pathname.split("/")[1];
    if (url.pathname.endsWith("/api.js")) {
      response.setHeader("content-type", "text/javascript");
      const call = `globalThis[${JSON.stringify(url.searchParams.get("onload"))}]();`;
      return response.end(WIDGETS[name] ? `${WIDGETS[name]}${call}` : "");
    }
    let body = "";
    request.on("data", (part) => (body += part));
    return request.on("end", () => {
      const good = new URLSearchParams(body).get("response").startsWith(`token-of-${name}`);
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify(good ? { success: true } : { success: false, "error-codes": ["invalid-input-response"] }));
    });
  }).listen(0, "127.0.0.1");
  await once(provider, "listening");
  providerUrl = `http://127.0.0.1:${provider.address().port}`;
});
after(async () => {
  await browser?.close();
  provider?.close();
  await server?.stop();
});

const fields = (name, more = {}) => ({
  public_key: "site-key",
  private_key: "secret",
  js_url: `${providerUrl}/${name}/api.js`,
  api_url: `${providerUrl}/${name}/siteverify`,
  ...more,
});

const reached = (page) => page.getByText("This is the step").waitFor();

describe("our own captcha", () => {
  it("is solved without a hand being moved", async () => {
    await makeFlow(server, "own", ["captcha", OWN], ["dummy", {}]);
    const page = await newPage(browser, server);
    await page.goto("/if/flow/own/");
    await reached(page);
    assert.deepEqual(page.complaints, []);
    await page.context().close();
  });

  it("tells what happens while the browser calculates", async () => {
    await makeFlow(server, "hard", ["captcha", { ...OWN, public_key: "24" }], ["dummy", {}]);
    const page = await newPage(browser, server);
    await page.goto("/if/flow/hard/");
    await page.getByRole("status").filter({ hasText: "short calculation" }).waitFor();
    await page.getByRole("progressbar").waitFor();
    await assertAccessible(page, "the calculation");
    await picture(page, "captcha-own");
    assert.deepEqual(page.complaints, []);
    await page.context().close();
  });

  it("works beside name and password, also for those who are faster than it", async () => {
    const captcha = await server.api("POST", "/stages/captcha/", { name: "beside", ...OWN, public_key: "16" });
    const password = await server.api("POST", "/stages/password/", {
      name: "beside-password",
      backends: ["authentik.core.auth.InbuiltBackend"],
    });
    const inside = { user_fields: ["username"], captcha_stage: captcha.pk, password_stage: password.pk };
    await makeFlow(server, "beside", ["identification", inside], ["user_login", {}]);
    const page = await newPage(browser, server);
    await page.goto("/if/flow/beside/");
    await page.fill("[name=uid_field]", "akadmin");
    await page.fill("[name=password]", "wrong");
    await submit(page);
    await page.getByRole("alert").waitFor();
    // The refused answer used its solution up; the page has begun anew.
    await page.fill("[name=password]", PASSWORD);
    await submit(page);
    await page.waitForURL("**/if/user/**");
    assert.deepEqual(page.complaints, []);
    await page.context().close();
  });

  it("says what it needs where there is no JavaScript", async () => {
    const page = await newPage(browser, server, { javaScriptEnabled: false });
    await page.goto("/if/flow/own/");
    assert.match(await page.textContent("main"), /needs JavaScript/);
    assert.equal(await page.locator("button[type=submit]").isVisible(), false);
    await picture(page, "captcha-no-javascript");
    await page.context().close();
  });
});

describe("a provider's captcha", () => {
  for (const [name, more] of [
    ["turnstile", {}],
    ["turnstile", { interactive: true }],
    ["hcaptcha", {}],
    ["hcaptcha", { interactive: true }],
    ["recaptcha", {}],
  ]) {
    it(`${name} ${more.interactive ? "in sight" : "out of sight"}`, async () => {
      const slug = `${name}-${more.interactive ? "seen" : "unseen"}`;
      await makeFlow(server, slug, ["captcha", fields(name, more)], ["dummy", {}]);
      const page = await newPage(browser, server);
      const answer = await page.goto(`/if/flow/${slug}/`);
      const policy = answer.headers()["content-security-policy"];
      assert.ok(policy.includes(`script-src 'self' ${providerUrl};`), policy);
      if (name === "hcaptcha" && more.interactive) await page.getByRole("button", { name: "I am human" }).click();
      await reached(page);
      assert.deepEqual(page.complaints, []);
      await page.context().close();
    });
  }

  it("of the third version is asked with the key in its script's address", async () => {
    const more = { js_url: `${providerUrl}/recaptcha/api.js?render=site-key` };
    await makeFlow(server, "v3", ["captcha", fields("recaptcha", more)], ["dummy", {}]);
    const page = await newPage(browser, server);
    await page.goto("/if/flow/v3/");
    await reached(page);
    await page.context().close();
  });

  it("whose script does not come leaves a page that says so", async () => {
    await makeFlow(server, "away", ["captcha", fields("away", { js_url: "http://127.0.0.1:9/api.js" })], ["dummy", {}]);
    const page = await newPage(browser, server);
    await page.goto("/if/flow/away/");
    await page.getByRole("status").filter({ hasText: "could not be checked" }).waitFor();
    await assertAccessible(page, "a captcha that cannot be loaded");
    await picture(page, "captcha-away");
    await page.context().close();
  });

  it("that refuses does not send the page round in circles", async () => {
    const more = { api_url: `${providerUrl}/nobody/siteverify` };
    await makeFlow(server, "refused", ["captcha", fields("turnstile", more)], ["dummy", {}]);
    const page = await newPage(browser, server);
    let posts = 0;
    page.on("request", (request) => (posts += request.method() === "POST"));
    await page.goto("/if/flow/refused/");
    await page.getByRole("alert").filter({ hasText: "Retrying may solve this issue" }).waitFor();
    await page.waitForTimeout(500);
    assert.equal(posts, 1);
    await submit(page);
    await page.getByRole("alert").waitFor();
    await picture(page, "captcha-refused");
    await page.context().close();
  });
});
