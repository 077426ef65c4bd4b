// What the pages do, with and without script.

import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";

async function open(browser, url, { script = true, posts } = {}) {
  const context = await browser.newContext({ javaScriptEnabled: script, colorScheme: "light" });
  const page = await context.newPage();
  page.on("close", () => context.close());
  if (posts) {
    await page.route(
      (address) => posts.test(address.href),
      (route) => {
        const request = route.request();
        page.posted = { method: request.method(), url: request.url(), body: request.postData() ?? "" };
        return route.fulfill({ status: 200, contentType: "text/html", body: "<title>posted</title>" });
      },
    );
  }
  await page.goto(url, { waitUntil: "load" });
  return page;
}

export const behaviour = {
  async "a form is sent without any script"(browser, base) {
    const page = await open(browser, `${base}/identification.light.ltr.html`, { script: false, posts: /\/if\/flow\/sample\// });
    await page.getByLabel("Email or username").fill("maja");
    await page.getByRole("button", { name: "Log in" }).click();
    await page.waitForURL(/\/if\/flow\/sample\//);
    const sent = new URLSearchParams(page.posted.body);
    assert.equal(page.posted.method, "POST");
    assert.equal(sent.get("uid_field"), "maja");
    assert.equal(sent.get("weir:csrf"), "csrf-token-1");
    await page.close();
  },

  async "without script nothing is offered that needs one"(browser, base) {
    const page = await open(browser, `${base}/identification-full.light.ltr.html`, { script: false });
    assert.equal(await page.getByRole("button", { name: "Show password" }).count(), 0);
    assert.equal(await page.getByText("Remember my name").isVisible(), false);
    await page.close();
  },

  async "a password can be shown and is hidden again before it is sent"(browser, base) {
    const page = await open(browser, `${base}/password.light.ltr.html`, { posts: /\/if\/flow\/sample\// });
    const input = page.getByLabel("Password", { exact: true });
    await input.fill("secret");
    await page.getByRole("button", { name: "Show password" }).click();
    assert.equal(await input.getAttribute("type"), "text");
    await input.evaluate((element) => {
      element.form.addEventListener("submit", () => (document.title = element.type));
    });
    await input.press("Enter");
    await page.waitForURL(/\/if\/flow\/sample\//);
    assert.match(page.posted.body, /password=secret/);
    await page.close();
  },

  async "the focus is on the first field that is wrong and the error belongs to it"(browser, base) {
    const page = await open(browser, `${base}/prompt-errors.light.ltr.html`);
    const focused = page.locator(":focus");
    assert.equal(await focused.getAttribute("name"), "username");
    assert.equal(await focused.getAttribute("aria-invalid"), "true");
    const ids = (await focused.getAttribute("aria-describedby")).split(" ");
    const texts = await Promise.all(ids.map((id) => page.locator(`[id="${id}"]`).textContent()));
    assert.ok(texts.some((text) => text.includes("Username is already taken.")));
    assert.match(await page.title(), /^Error: /);
    for (const link of await page.locator("#errors a").all()) {
      const target = (await link.getAttribute("href")).slice(1);
      assert.equal(await page.locator(`[id="${target}"]`).count(), 1, target);
    }
    await page.close();
  },

  async "the name is remembered only where the box is ticked"(browser, base) {
    const page = await open(browser, `${base}/identification-full.light.ltr.html`, { posts: /\/if\/flow\/sample\// });
    await page.getByLabel("Email or username").fill("maja");
    await page.getByLabel("Password", { exact: true }).fill("x");
    await page.getByLabel("Remember my name").check();
    await page.getByRole("button", { name: "Log in" }).click();
    await page.waitForURL(/\/if\/flow\/sample\//);
    assert.equal(await page.evaluate(() => localStorage.getItem("weir:identifier")), "maja");
    await page.close();
  },

  async "a passkey the browser offers answers without a name"(browser, base) {
    const context = await browser.newContext();
    const page = await context.newPage();
    const devtools = await context.newCDPSession(page);
    await devtools.send("WebAuthn.enable", { enableUI: false });
    const { authenticatorId } = await devtools.send("WebAuthn.addVirtualAuthenticator", {
      options: {
        protocol: "ctap2",
        transport: "internal",
        hasResidentKey: true,
        hasUserVerification: true,
        isUserVerified: true,
        automaticPresenceSimulation: true,
      },
    });
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    await devtools.send("WebAuthn.addCredential", {
      authenticatorId,
      credential: {
        credentialId: Buffer.from("a credential id!").toString("base64"),
        isResidentCredential: true,
        rpId: "localhost",
        privateKey: privateKey.export({ format: "der", type: "pkcs8" }).toString("base64"),
        userHandle: Buffer.from("maja").toString("base64"),
        signCount: 1,
      },
    });
    let posted;
    await page.route(/\/if\/flow\/sample\//, (route) => {
      posted = new URLSearchParams(route.request().postData());
      return route.fulfill({ status: 200, contentType: "text/html", body: "<title>posted</title>" });
    });
    await page.goto(`${base.replace("127.0.0.1", "localhost")}/identification-full.light.ltr.html`);
    await page.waitForURL(/\/if\/flow\/sample\//);
    const assertion = JSON.parse(posted.get("passkey:json"));
    assert.equal(Buffer.from(assertion.id, "base64url").toString(), "a credential id!");
    assert.ok(assertion.response.signature.length > 20);
    await context.close();
  },

  async "each button of the last question gives its own answer"(browser, base) {
    for (const [name, value] of [["Stay signed in", "true"], ["Only this time", "false"]]) {
      const page = await open(browser, `${base}/user-login.light.ltr.html`, { posts: /\/if\/flow\/sample\// });
      await page.getByRole("button", { name }).click();
      await page.waitForURL(/\/if\/flow\/sample\//);
      assert.equal(new URLSearchParams(page.posted.body).get("remember_me"), value);
      await page.close();
    }
  },

  async "a form with a file is sent as multipart"(browser, base) {
    const page = await open(browser, `${base}/prompt.light.ltr.html`);
    assert.equal(await page.locator("form.step").getAttribute("enctype"), "multipart/form-data");
    await page.close();
  },

  async "a finished step goes on by itself, with and without script"(browser, base) {
    for (const script of [true, false]) {
      const page = await open(browser, `${base}/redirect.light.ltr.html`, { script, posts: /\/if\/user\// });
      await page.waitForURL(/\/if\/user\//);
      await page.close();
    }
  },

  async "an answer for another site is passed on by itself"(browser, base) {
    const page = await open(browser, `${base}/autosubmit.light.ltr.html`, { posts: /sp\.example\.com/ });
    await page.waitForURL(/sp\.example\.com/);
    assert.equal(new URLSearchParams(page.posted.body).get("RelayState"), "r");
    await page.close();
  },

  async "a log-out message is carried by the browser, by form and by address"(browser, base) {
    for (const name of ["native-logout-post", "native-logout-redirect"]) {
      const page = await open(browser, `${base}/${name}.light.ltr.html`, { posts: /sp\.example\.com/ });
      await page.waitForURL(/sp\.example\.com/);
      if (name.endsWith("post")) assert.equal(new URLSearchParams(page.posted.body).get("SAMLRequest"), "PHg+");
      await page.close();
    }
    const page = await open(browser, `${base}/native-logout-complete.light.ltr.html`, { posts: /\/if\/flow\/sample\// });
    await page.waitForURL(/\/if\/flow\/sample\//);
    assert.equal(new URLSearchParams(page.posted.body).get("weir:component"), "ak-provider-saml-native-logout");
    await page.close();
  },

  async "applications are signed out in frames before the flow goes on"(browser, base) {
    const context = await browser.newContext();
    const page = await context.newPage();
    const told = [];
    await page.route(/sp\.example\.com/, (route) => {
      told.push(route.request().postData());
      return route.fulfill({ contentType: "text/html", body: "out" });
    });
    await page.route(/icon\.svg/, (route) => {
      told.push("by address");
      return route.fulfill({ contentType: "text/html", body: "<script>top.location = 'about:blank'</script>" });
    });
    await page.route(/\/if\/flow\/sample\//, (route) => route.fulfill({ contentType: "text/html", body: "<title>posted" }));
    await page.goto(`${base}/iframe-logout.light.ltr.html`);
    await page.waitForURL(/\/if\/flow\/sample\//);
    assert.deepEqual(told.sort(), ["SAMLRequest=PHg%2B&RelayState=r", "by address"]);
    await context.close();
  },

  async "a framed page of ours ends its step, a foreign one does not"(browser, base) {
    const page = await open(browser, `${base}/frame.light.ltr.html`, { posts: /\/if\/flow\/sample\// });
    const message = { source: "goauthentik.io", context: "flow-executor", message: "submit" };
    await page.evaluate((it) => window.postMessage(it, "*"), message);
    await page.waitForTimeout(200);
    assert.equal(page.posted, undefined, "only the frame itself may say so");
    await page.frames()[1].evaluate((it) => parent.postMessage(it, "*"), message);
    await page.waitForURL(/\/if\/flow\/sample\//);
    await page.close();
  },

  async "the page of a finished handshake ends the step around it, and nothing when it stands alone"(browser, base) {
    const page = await open(browser, `${base}/message-frame-done.light.ltr.html`, { posts: /\/if\/flow\/sample\// });
    await page.waitForTimeout(200);
    assert.equal(page.posted, undefined);
    await page.route(/icon\.svg/, async (route) => {
      route.fulfill({ response: await page.request.get(`${base}/message-frame-done.light.ltr.html`) });
    });
    await page.goto(`${base}/frame.light.ltr.html`);
    await page.waitForURL(/\/if\/flow\/sample\//);
    await page.close();
  },

  async "the page of a refused handshake says so in its frame and ends nothing around it"(browser, base) {
    const page = await open(browser, `${base}/identification.light.ltr.html`, { posts: /\/if\/flow\/sample\// });
    await page.route(/icon\.svg/, async (route) => {
      route.fulfill({ response: await page.request.get(`${base}/message-frame-refused.light.ltr.html`) });
    });
    await page.goto(`${base}/frame.light.ltr.html`);
    const frame = await (await page.waitForSelector("iframe")).contentFrame();
    await frame.getByText("Your browser could not be verified.").waitFor();
    await page.waitForTimeout(200);
    assert.equal(page.posted, undefined);
    await page.close();
  },

  async "the cover of a frame goes when the frame has loaded"(browser, base) {
    const context = await browser.newContext();
    const page = await context.newPage();
    let answer;
    await page.route(/icon\.svg/, (route) => {
      answer = () => route.fulfill({ contentType: "text/html", body: "loaded" });
    });
    await page.goto(`${base}/frame.light.ltr.html`, { waitUntil: "commit" });
    const cover = page.getByRole("status");
    await cover.waitFor();
    answer();
    await cover.waitFor({ state: "hidden" });
    await context.close();
  },

  async "spaces are no part of a code"(browser, base) {
    const page = await open(browser, `${base}/device-code.light.ltr.html`);
    await page.getByLabel("Code").fill(" 123 456 ");
    assert.equal(await page.getByLabel("Code").inputValue(), "123456");
    await page.close();
  },

  async "Plex is asked for a PIN, its window confirms it, and the token goes to the server"(browser, base) {
    const context = await browser.newContext();
    const page = await context.newPage();
    let asked = 0;
    const seen = {};
    await context.route("https://plex.tv/api/v2/pins**", (route) => {
      const request = route.request();
      const headers = { "access-control-allow-origin": "*", "access-control-allow-headers": "*" };
      if (request.method() === "OPTIONS") return route.fulfill({ headers });
      seen.client = request.headers()["x-plex-client-identifier"];
      asked += request.method() === "GET" ? 1 : 0;
      return route.fulfill({ headers, json: { id: 7, code: "abcd", expiresIn: 900, authToken: asked > 1 ? "tok" : null } });
    });
    await context.route("https://app.plex.tv/**", (route) => {
      seen.window = route.request().url();
      return route.fulfill({ contentType: "text/html", body: "Plex" });
    });
    await page.route(/redeem_token/, (route) => {
      seen.redeemed = [route.request().url(), route.request().postData()];
      return route.fulfill({ json: { component: "xak-flow-redirect", to: "/if/user/#signed-in" } });
    });
    await page.route(/\/if\/user\//, (route) => route.fulfill({ contentType: "text/html", body: "<title>in" }));
    await page.goto(`${base}/source-plex.light.ltr.html`);
    const popup = page.waitForEvent("popup");
    await page.getByRole("button", { name: "Continue with Plex" }).click();
    await (await popup).waitForURL(/app\.plex\.tv/);
    assert.match((await popup).url(), /#\?clientID=weir-1&code=abcd/);
    await page.waitForURL(/\/if\/user\//);
    assert.equal(seen.client, "weir-1");
    assert.match(seen.redeemed[0], /\?slug=plex$/);
    assert.deepEqual(JSON.parse(seen.redeemed[1]), { plex_token: "tok" });
    await context.close();
  },

  async "Plex failing is said, and can be tried again"(browser, base) {
    const context = await browser.newContext();
    const page = await context.newPage();
    await context.route("https://plex.tv/**", (route) => route.abort());
    await page.goto(`${base}/source-plex.light.ltr.html`);
    const button = page.getByRole("button", { name: "Continue with Plex" });
    await button.click();
    await page.getByRole("alert").filter({ hasText: "did not confirm" }).waitFor();
    assert.equal(await button.isEnabled(), true);
    await context.close();
  },

  async "what Telegram's frame says becomes the answer; what others say does not"(browser, base) {
    const context = await browser.newContext();
    const page = await context.newPage();
    let posted;
    await page.route(/oauth\.telegram\.org/, (route) => route.fulfill({ contentType: "text/html", body: "<p>button" }));
    await page.route(/\/if\/flow\/sample\//, (route) => {
      posted = new URLSearchParams(route.request().postData());
      return route.fulfill({ contentType: "text/html", body: "<title>posted" });
    });
    await page.goto(`${base}/source-telegram.light.ltr.html`);
    const data = JSON.stringify({ event: "auth_user", auth_data: { id: 42, first_name: "Maja", auth_date: 1785571200, hash: "00ff" } });
    await page.evaluate((it) => window.postMessage(it, "*"), data);
    const frame = await (await page.waitForSelector("iframe.embed")).contentFrame();
    await frame.waitForURL(/embed\/harbour_bot\?.*request_access=write/);
    assert.equal(posted, undefined);
    await frame.evaluate((it) => parent.postMessage(it, "*"), data);
    await page.waitForURL(/\/if\/flow\/sample\//);
    assert.equal(posted.get("id:int"), "42");
    assert.equal(posted.get("first_name"), "Maja");
    await context.close();
  },

  async "Apple is reached by an ordinary link"(browser, base) {
    const page = await open(browser, `${base}/source-apple.light.ltr.html`, { script: false });
    const link = new URL(await page.getByRole("link", { name: "Continue with Apple" }).getAttribute("href"));
    assert.equal(link.searchParams.get("scope"), "name email");
    assert.equal(link.searchParams.get("redirect_uri"), "https://id.example.com/source/oauth/callback/apple/");
    await page.close();
  },

  async "foreign markup is shown but runs nothing"(browser, base) {
    const page = await open(browser, `${base}/shell.light.ltr.html`);
    await page.frameLocator("iframe.shell").getByText("Made by a stage.").waitFor();
    assert.notEqual(await page.title(), "owned");
    await page.close();
  },

  async "the theme follows the system only when the brand leaves it open"(browser, base) {
    const context = await browser.newContext({ colorScheme: "dark" });
    const page = await context.newPage();
    await page.goto(`${base}/identification.light.ltr.html`);
    const card = () => page.evaluate(() => getComputedStyle(document.querySelector(".card")).backgroundColor);
    const light = await card();
    await page.evaluate(() => (document.documentElement.dataset.theme = "automatic"));
    assert.notEqual(await card(), light);
    await context.close();
  },
};
