// The example blueprints (docs/EXAMPLES.md) and people's own settings, each walked as a person would.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { assertAccessible, launch, newPage, picture, submit } from "./browser.mjs";
import { link, startMailServer } from "./mail.mjs";
import { PASSWORD, TOKEN, startServer } from "./server.mjs";

let browser, mail, server, site;
before(async () => {
  mail = await startMailServer();
  server = await startServer({ env: mail.env });
  browser = await launch();
  // Passkeys want a name, not a number.
  site = { url: server.url.replace("127.0.0.1", "localhost") };
});
after(async () => {
  await browser?.close();
  await server?.stop();
  mail?.stop();
});

/** Applies an example as an administrator would. */
async function apply(name, context = {}) {
  const body = new FormData();
  body.set("path", `example/${name}.yaml`);
  body.set("context", JSON.stringify(context));
  const headers = { Authorization: `Bearer ${TOKEN}` };
  const answer = await fetch(`${server.url}/api/v3/managed/blueprints/import/`, { method: "POST", headers, body });
  const { success, logs } = await answer.json();
  assert.ok(success, JSON.stringify(logs));
}

let people = 0;
async function person(fields = {}) {
  people += 1;
  const username = `jo${people}`;
  const made = await server.api("POST", "/core/users/", { username, name: `Jo ${people}`, email: `${username}@example.test`, ...fields });
  await server.api("POST", `/core/users/${made.pk}/set_password/`, { password: PASSWORD });
  return { pk: made.pk, username };
}

async function me(page) {
  const answer = await page.request.get("/api/v3/core/users/me/");
  return answer.ok() ? (await answer.json()).user.username : answer.status();
}

const open = (options = {}) => newPage(browser, site, options);

/** The default sign-in. */
async function signIn(page, username, password = PASSWORD) {
  await page.goto("/if/flow/default-authentication-flow/?next=%2Fif%2Fuser%2F");
  await page.fill("[name=uid_field]", username);
  await submit(page);
  await page.fill("[name=password]", password);
  await submit(page);
}

/** The code an authenticator app shows for a key, `ahead` steps of 30 seconds from now. */
function totp(key, ahead = 0) {
  const bits = [...key.replace(/[\s=]/g, "").toUpperCase()]
    .map((char) => "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(char).toString(2).padStart(5, "0"))
    .join("");
  const secret = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + ahead));
  const mac = createHmac("sha1", secret).update(counter).digest();
  const number = mac.readUInt32BE(mac.at(-1) & 15) & 0x7fffffff;
  return String(number % 1_000_000).padStart(6, "0");
}

const shownKey = (page) => page.locator("code.secret").textContent();

/** Gives a page an authenticator that keeps passkeys. */
async function plug(page) {
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("WebAuthn.enable", { enableUI: false });
  await devtools.send("WebAuthn.addVirtualAuthenticator", {
    options: { protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true },
  });
}

const devices = async (page) => (await page.request.get("/api/v3/authenticators/all/")).json();

/** What a portal does for the person who is signed in. */
async function remove(page, kind, pk) {
  const cookies = await page.context().cookies();
  const csrf = cookies.find((cookie) => cookie.name === "authentik_csrf").value;
  const answer = await page.request.delete(`/api/v3/authenticators/${kind}/${pk}/`, {
    headers: { "X-authentik-CSRF": csrf, Origin: site.url },
  });
  assert.equal(answer.status(), 204, await answer.text());
}

/** The way into the flow that locks an account, as a portal or the console asks for it. */
async function lockdown(page, user) {
  const cookies = await page.context().cookies();
  const csrf = cookies.find((cookie) => cookie.name === "authentik_csrf").value;
  const answer = await page.request.post("/api/v3/core/users/account_lockdown/", {
    headers: { "X-authentik-CSRF": csrf, Origin: site.url },
    data: user ? { user } : {},
  });
  assert.equal(answer.status(), 200, await answer.text());
  return (await answer.json()).link;
}

/** Opens the set-up of one kind as the list of settings gives it. */
async function configure(page, component) {
  const settings = await (await page.request.get("/api/v3/stages/all/user_settings/")).json();
  const found = settings.find((one) => one.component === component);
  assert.ok(found?.configure_url, JSON.stringify(settings));
  await page.goto(`${found.configure_url}?next=%2Fif%2Fuser%2F`);
}

for (const javaScriptEnabled of [true, false]) {
  const label = javaScriptEnabled ? "with" : "without";
  describe(`${label} JavaScript`, () => {
    it("a password is changed from the page of one's own, and only the new one opens", async () => {
      const { username } = await person();
      const page = await open({ javaScriptEnabled });
      await signIn(page, username);
      await page.waitForURL("**/if/user/**");
      await page.locator('a[href*="/flows/-/configure/"]').first().click();
      await page.fill("[name=password]", "Entirely-different-7");
      await page.fill("[name=password_repeat]", "Entirely-different-8");
      await submit(page);
      await page.getByText("Passwords don't match.").first().waitFor();
      await page.fill("[name=password]", "Entirely-different-7");
      await page.fill("[name=password_repeat]", "Entirely-different-7");
      await picture(page, `password-change-${label}-javascript`);
      await submit(page);
      await page.waitForURL("**/if/user/**");
      const other = await open({ javaScriptEnabled });
      await signIn(other, username);
      await other.locator("[id$=-error]").first().waitFor();
      await other.fill("[name=password]", "Entirely-different-7");
      await submit(other);
      await other.waitForURL("**/if/user/**");
      await page.context().close();
      await other.context().close();
    });

    it("an authenticator app is set up, asked for, and removed", async () => {
      const { username } = await person();
      const page = await open({ javaScriptEnabled });
      await signIn(page, username);
      await page.waitForURL("**/if/user/**");
      await configure(page, "ak-user-settings-authenticator-totp");
      await picture(page, `totp-setup-${label}-javascript`);
      const key = await shownKey(page);
      await page.fill("[name=code]", "000000");
      await submit(page);
      await page.locator("[id$=-error]").first().waitFor();
      assert.equal(await shownKey(page), key, "the key stays while it is being set up");
      await page.fill("[name=code]", totp(key));
      await submit(page);
      await page.waitForURL("**/if/user/**");
      const [device] = await devices(page);
      assert.equal(device.type, "authentik_stages_authenticator_totp.TOTPDevice");

      const other = await open({ javaScriptEnabled });
      await signIn(other, username);
      await other.waitForSelector("[name=code]");
      await picture(other, `totp-asked-${label}-javascript`);
      if (javaScriptEnabled) await assertAccessible(other, "a second factor");
      assert.equal(await me(other), 403);
      await other.fill("[name=code]", totp(key, 1));
      await submit(other);
      await other.waitForURL("**/if/user/**");
      assert.equal(await me(other), username);

      await remove(page, "totp", device.pk);
      const third = await open({ javaScriptEnabled });
      await signIn(third, username);
      await third.waitForURL("**/if/user/**");
      for (const one of [page, other, third]) await one.context().close();
    });

    it("codes on paper are set up, each opens once, and they are removed", async () => {
      const { username } = await person();
      const page = await open({ javaScriptEnabled });
      await signIn(page, username);
      await page.waitForURL("**/if/user/**");
      await configure(page, "ak-user-settings-authenticator-static");
      const codes = await page.locator("ul.codes code").allTextContents();
      assert.equal(codes.length, 6);
      await picture(page, `static-setup-${label}-javascript`);
      await submit(page);
      await page.waitForURL("**/if/user/**");
      const other = await open({ javaScriptEnabled });
      await signIn(other, username);
      await other.fill("[name=code]", codes[0]);
      await submit(other);
      await other.waitForURL("**/if/user/**");
      const again = await open({ javaScriptEnabled });
      await signIn(again, username);
      await again.fill("[name=code]", codes[0]);
      await submit(again);
      await again.locator("[id$=-error]").first().waitFor();
      assert.equal(await me(again), 403);
      const [device] = await devices(page);
      await remove(page, "static", device.pk);
      assert.deepEqual(await devices(page), []);
      for (const one of [page, other, again]) await one.context().close();
    });

    it("example: codes by mail are set up, each opens once, and they are removed", async () => {
      await apply("flow-authenticator-email-setup");
      const { username } = await person();
      const address = `${username}@example.test`;
      const code = async () => (await mail.next(address)).match(/\b\d{6}\b/)[0];
      const page = await open({ javaScriptEnabled });
      await signIn(page, username);
      await page.waitForURL("**/if/user/**");
      await configure(page, "ak-user-settings-authenticator-email");
      const first = await code();
      assert.ok(!(await page.locator("main").innerText()).includes(address), "the address is masked");
      await picture(page, `email-setup-${label}-javascript`);
      if (javaScriptEnabled) await assertAccessible(page, "codes by mail");
      await page.getByRole("button", { name: "Send it again" }).click();
      const second = await code();
      if (first !== second) {
        await page.fill("[name=code]", first);
        await submit(page);
        await page.getByText("Code does not match").first().waitFor();
      }
      await page.fill("[name=code]", second);
      await submit(page);
      await page.waitForURL("**/if/user/**");
      const [device] = await devices(page);
      assert.equal(device.type, "authentik_stages_authenticator_email.EmailDevice");

      const other = await open({ javaScriptEnabled });
      await signIn(other, username);
      await other.getByRole("button", { name: /^Send a code to / }).waitFor();
      assert.equal(await me(other), 403);
      assert.deepEqual(mail.inbox, [], "nothing is sent before it is chosen");
      await picture(other, `email-asked-${label}-javascript`);
      await other.getByRole("button", { name: /^Send a code to / }).click();
      const third = await code();
      await other.fill("[name=code]", third);
      await picture(other, `email-code-${label}-javascript`);
      await submit(other);
      await other.waitForURL("**/if/user/**");
      assert.equal(await me(other), username);

      await remove(page, "email", device.pk);
      const last = await open({ javaScriptEnabled });
      await signIn(last, username);
      await last.waitForURL("**/if/user/**");
      for (const one of [page, other, last]) await one.context().close();
    });

    it("example: whoever has no second factor sets one up while signing in", async () => {
      await apply("flow-login-two-factor");
      const { username } = await person();
      const type = async (page, password) => {
        await page.goto("/if/flow/login-two-factor/?next=%2Fif%2Fuser%2F");
        await page.fill("[name=uid_field]", username);
        await page.fill("[name=password]", password);
        await submit(page);
      };
      const page = await open({ javaScriptEnabled });
      await type(page, "wrong");
      await page.getByText("Failed to authenticate.").waitFor();
      await type(page, PASSWORD);
      await page.locator("button[name=selected_stage]").first().waitFor();
      await picture(page, `two-factor-choice-${label}-javascript`);
      await page.getByRole("button", { name: /TOTP/ }).click();
      const key = await shownKey(page);
      assert.equal(await me(page), 403, "not signed in before the second factor exists");
      await page.fill("[name=code]", totp(key));
      await submit(page);
      await page.waitForURL("**/if/user/**");
      assert.equal(await me(page), username);
      const other = await open({ javaScriptEnabled });
      await type(other, PASSWORD);
      await other.fill("[name=code]", totp(key, 1));
      await submit(other);
      await other.waitForURL("**/if/user/**");
      // The same browser is not asked again.
      await other.goto("/flows/-/default/invalidation/");
      await other.waitForURL("**/if/flow/default-authentication-flow/**");
      await type(other, PASSWORD);
      await other.waitForURL("**/if/user/**");
      await page.context().close();
      await other.context().close();
    });

    it("example: a forgotten password is replaced by way of the mailbox, and old sessions end", async () => {
      await apply("flow-recovery-email", { brand: "authentik-default" });
      const { username } = await person();
      const signedIn = await open({ javaScriptEnabled });
      await signIn(signedIn, username);
      await signedIn.waitForURL("**/if/user/**");
      const page = await open({ javaScriptEnabled });
      await page.goto("/if/flow/default-authentication-flow/?next=%2Fif%2Fuser%2F");
      await page.getByRole("link", { name: "Forgot your password?" }).click();
      await page.fill("[name=uid_field]", `${username}@example.test`);
      await submit(page);
      await page.getByRole("button", { name: /again/i }).waitFor();
      await picture(page, `recovery-sent-${label}-javascript`);
      const address = link(await mail.next(`${username}@example.test`));
      // The mail is read elsewhere.
      const other = await open({ javaScriptEnabled });
      await other.goto(address);
      await picture(other, `recovery-confirm-${label}-javascript`);
      await submit(other);
      await other.fill("[name=password]", "Never-used-before-3");
      await other.fill("[name=password_repeat]", "Never-used-before-3");
      await submit(other);
      await other.waitForURL((url) => !url.pathname.startsWith("/if/flow/"));
      assert.equal(await me(other), username);
      assert.equal(await me(signedIn), 403, "the session from before is gone");
      const late = await open({ javaScriptEnabled });
      await late.goto(address);
      assert.equal(await late.locator("[name=password]").count(), 0, "the link counts once");
      for (const one of [signedIn, page, other, late]) await one.context().close();
    });

    it("example: recovery looks the same for a name that nobody has, and sends nothing", async () => {
      await apply("flow-recovery-email");
      const { username } = await person();
      const seen = [];
      for (const name of [username, "nobody-of-that-name"]) {
        const page = await open({ javaScriptEnabled });
        await page.goto("/if/flow/recovery-email/");
        await page.fill("[name=uid_field]", name);
        await submit(page);
        await page.getByRole("button", { name: /again/i }).waitFor();
        seen.push((await page.locator("main").innerText()).replaceAll(name, "X"));
        await page.context().close();
      }
      assert.equal(seen[0], seen[1]);
      await mail.next(`${username}@example.test`);
      assert.deepEqual(mail.inbox, []);
    });

    it("example: a link in a mail signs in, once", async () => {
      await apply("flow-login-link");
      const { username } = await person();
      const page = await open({ javaScriptEnabled });
      await page.goto("/if/flow/login-link/?next=%2Fif%2Fuser%2F");
      await page.fill("[name=uid_field]", username);
      await submit(page);
      const address = link(await mail.next(`${username}@example.test`));
      await page.goto(address);
      assert.equal(await me(page), 403, "opening it is not enough: scanners of mail do that too");
      await submit(page);
      await page.waitForURL("**/if/user/**");
      assert.equal(await me(page), username);
      const late = await open({ javaScriptEnabled });
      await late.goto(address);
      await late.waitForSelector("[name=uid_field]");
      await page.context().close();
      await late.context().close();
    });

    it("example: an account opens when its address is verified", async () => {
      await apply("flow-enrollment-email", { brand: "authentik-default" });
      const username = `new-${label}`;
      const page = await open({ javaScriptEnabled });
      await page.goto("/if/flow/default-authentication-flow/?next=%2Fif%2Fuser%2F");
      await page.getByRole("link", { name: "Sign up" }).click();
      await page.fill("[name=username]", username);
      await page.fill("[name=name]", "New Here");
      await page.fill("[name=email]", `${username}@example.test`);
      await picture(page, `enrollment-${label}-javascript`);
      await submit(page);
      await page.fill("[name=password]", PASSWORD);
      await page.fill("[name=password_repeat]", PASSWORD);
      await submit(page);
      await page.getByRole("button", { name: /again/i }).waitFor();
      const early = await open({ javaScriptEnabled });
      await signIn(early, username);
      await early.locator("[id$=-error]").first().waitFor();
      await page.goto(link(await mail.next(`${username}@example.test`)));
      await submit(page);
      await page.waitForURL((url) => !url.pathname.startsWith("/if/flow/"));
      assert.equal(await me(page), username);
      await early.fill("[name=password]", PASSWORD);
      await submit(early);
      await early.waitForURL("**/if/user/**");
      await page.context().close();
      await early.context().close();
    });

    it("example: an invitation opens the form once, and its data goes before answers", async () => {
      await apply("flow-enrollment-invitation");
      const { results } = await server.api("GET", "/flows/instances/?slug=enrollment-invitation");
      const email = `guest-${label}@example.test`;
      const invitation = await server.api("POST", "/stages/invitation/invitations/", {
        name: `for-a-guest-${label}`,
        flow: results[0].pk,
        single_use: true,
        fixed_data: { email },
      });
      const page = await open({ javaScriptEnabled });
      await page.goto("/if/flow/enrollment-invitation/");
      await page.getByText("Invalid invite/invite not found").waitFor();
      await page.goto(`/if/flow/enrollment-invitation/?itoken=${invitation.pk}&next=%2Fif%2Fuser%2F`);
      await page.getByText("Continue to accept this invitation.").waitFor();
      await picture(page, `invitation-accept-${label}-javascript`);
      await submit(page);
      assert.equal(await page.inputValue("[name=email]"), email);
      await picture(page, `invitation-${label}-javascript`);
      await page.fill("[name=username]", `guest-${label}`);
      await page.fill("[name=name]", "A Guest");
      await page.fill("[name=email]", "another@example.test");
      await submit(page);
      await page.fill("[name=password]", PASSWORD);
      await page.fill("[name=password_repeat]", PASSWORD);
      await submit(page);
      await page.waitForURL("**/if/user/**");
      assert.equal(await me(page), `guest-${label}`);
      const made = await (await page.request.get("/api/v3/core/users/me/")).json();
      assert.equal(made.user.email, email);
      const late = await open({ javaScriptEnabled });
      await late.goto(`/if/flow/enrollment-invitation/?itoken=${invitation.pk}`);
      await late.getByText("Invalid invite/invite not found").waitFor();
      await page.context().close();
      await late.context().close();
    });

    it("example: people delete their own account, after their password and their name", async () => {
      await apply("flow-unenrollment");
      const { username, pk } = await person();
      const page = await open({ javaScriptEnabled });
      await signIn(page, username);
      await page.waitForURL("**/if/user/**");
      await page.goto("/if/flow/unenrollment/");
      await page.fill("[name=password]", PASSWORD);
      await submit(page);
      await page.fill("[name=unenrollment_confirmation]", "somebody else");
      await picture(page, `unenrollment-${label}-javascript`);
      await submit(page);
      await page.getByText("That is not your username.").waitFor();
      await page.fill("[name=unenrollment_confirmation]", username);
      await submit(page);
      await page.waitForURL("**/if/flow/default-authentication-flow/**");
      assert.equal(await me(page), 403);
      await assert.rejects(server.api("GET", `/core/users/${pk}/`), /404/);
      await page.context().close();
    });

    it("example: people lock their own account and an administrator that of somebody else", async () => {
      await apply("flow-default-account-lockdown", { brand: "authentik-default" });
      const own = await person();
      const page = await open({ javaScriptEnabled });
      await signIn(page, own.username);
      await page.waitForURL("**/if/user/**");
      await page.goto(await lockdown(page));
      await page.getByText("your own account").waitFor();
      if (javaScriptEnabled) await assertAccessible(page, "lockdown");
      await picture(page, `lockdown-${label}-javascript`);
      await submit(page);
      assert.equal(await me(page), own.username, "without a reason nothing happens");
      await page.fill("[name=lockdown_reason]", "My telephone is gone");
      await submit(page);
      await page.waitForURL("**/if/flow/default-account-lockdown-complete/**");
      await page.getByText("Your account is locked").waitFor();
      await picture(page, `lockdown-complete-${label}-javascript`);
      assert.equal(await me(page), 403);
      await signIn(page, own.username);
      assert.equal(await me(page), 403, "not even with the right password");
      await page.context().close();

      const other = await person();
      const victim = await open({ javaScriptEnabled });
      await signIn(victim, other.username);
      await victim.waitForURL("**/if/user/**");
      const admin = await open({ javaScriptEnabled });
      await signIn(admin, "akadmin");
      await admin.waitForURL("**/if/user/**");
      await admin.goto(await lockdown(admin, other.pk));
      await admin.getByText(`about to lock the account ${other.username}.`).waitFor();
      await admin.fill("[name=lockdown_reason]", "Reported by the owner");
      await submit(admin);
      await admin.getByText(`The account ${other.username} is locked.`).waitFor();
      await submit(admin);
      await admin.waitForURL((url) => !url.pathname.includes("default-account-lockdown"));
      assert.equal(await me(victim), 403);
      assert.equal(await me(admin), "akadmin");
      const { results } = await server.api("GET", `/weir/lockdowns/?user=${other.pk}`);
      assert.equal(results[0].record.reason, "Reported by the owner");
      assert.ok(results[0].record.artefacts.every((kind) => kind.remaining === 0), JSON.stringify(results[0]));
      const { is_active } = await server.api("GET", `/core/users/${other.pk}/`);
      assert.equal(is_active, false);
      for (const one of [victim, admin]) await one.context().close();
    });
  });
}

it("example: a passkey alone signs in, also from the link of the sign-in page", async () => {
  await apply("flow-login-passkey", { brand: "authentik-default" });
  const { username } = await person();
  const page = await open();
  await plug(page);
  await signIn(page, username);
  await page.waitForURL("**/if/user/**");
  await configure(page, "ak-user-settings-authenticator-webauthn");
  await page.locator(".passkey button").click();
  await page.waitForURL("**/if/user/**");
  const list = await devices(page);
  assert.equal(list[0].type, "authentik_stages_authenticator_webauthn.WebAuthnDevice");

  await page.context().clearCookies();
  await page.goto("/if/flow/login-passkey/?next=%2Fif%2Fuser%2F");
  await page.waitForURL("**/if/user/**");
  assert.equal(await me(page), username);

  await page.context().clearCookies();
  await page.goto("/if/flow/default-authentication-flow/?next=%2Fif%2Fuser%2F");
  await page.getByRole("link", { name: "Use a passkey" }).click();
  await page.waitForURL("**/if/user/**");
  assert.equal(await me(page), username);

  await remove(page, "webauthn", list[0].pk);
  await page.context().clearCookies();
  await page.goto("/if/flow/login-passkey/?next=%2Fif%2Fuser%2F");
  await page.locator(".passkey button").waitFor();
  assert.equal(await me(page), 403, "a removed passkey opens nothing");
  await page.context().close();
});

it("example: guessing is slowed down, then stopped, also for a name that nobody has", async () => {
  await apply("flow-login-lockout");
  const { username } = await person();
  const begin = async (page, name) => {
    await page.goto("/flows/-/cancel/?next=%2Fif%2Fflow%2Flogin-lockout%2F%3Fnext%3D%252Fif%252Fuser%252F");
    await page.fill("[name=uid_field]", name);
    await submit(page);
  };
  const guess = async (page) => {
    await page.waitForSelector("[name=password]", { timeout: 60_000 });
    await page.fill("[name=password]", "a guess");
    await page.evaluate(() => (document.body.dataset.answered = ""));
    await submit(page);
    await page.locator("body:not([data-answered])").waitFor();
  };
  const bystander = await person();
  for (const name of [username, "nobody-has-this-name"]) {
    const page = await open();
    // Opened in advance, to be used when the name is locked.
    const early = await open();
    await begin(early, name);
    await early.waitForSelector("[name=password]");
    for (let failures = 0; failures < 10; failures += 1) {
      if (failures % 3 === 0) await begin(page, name);
      if (failures === 3) {
        await page.locator(".captcha").waitFor();
        await picture(page, "lockout-captcha");
      }
      await guess(page);
      await page.getByText("Invalid password").first().waitFor();
    }
    await begin(page, name);
    await page.getByText("Too many failed attempts.").waitFor({ timeout: 60_000 });
    await picture(page, "lockout-locked");
    await early.fill("[name=password]", PASSWORD);
    await submit(early);
    await early.getByText("Too many failed attempts.").waitFor();
    assert.equal(await me(early), 403, "not even with the right password");
    await page.context().close();
    await early.context().close();
  }
  const page = await open();
  await begin(page, bystander.username);
  await page.waitForSelector("[name=password]", { timeout: 60_000 });
  await page.fill("[name=password]", PASSWORD);
  await submit(page);
  await page.waitForURL("**/if/user/**");
  await page.context().close();
});
