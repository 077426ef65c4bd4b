// Security keys and passkeys with Chromium's virtual authenticators.
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { assertAccessible, launch, newPage, picture, submit } from "./browser.mjs";
import { PASSWORD, startServer } from "./server.mjs";

let browser, server;
// Browsers take no numbers for the id of a relying party; `localhost` is a secure context for them.
let site;

before(async () => {
  server = await startServer();
  browser = await launch();
  site = { url: server.url.replace("127.0.0.1", "localhost") };
  await makeFlows();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

async function makeFlow(slug, designation, ...stages) {
  const flow = await server.api("POST", "/flows/instances/", { name: slug, slug, title: `Flow ${slug}`, designation });
  const made = [];
  for (const [order, [kind, fields]] of stages.entries()) {
    const stage = await server.api("POST", `/stages/${kind}/`, { name: `${slug}-${order}`, ...fields });
    await server.api("POST", "/flows/bindings/", { target: flow.pk, stage: stage.pk, order });
    made.push(stage);
  }
  return made;
}

async function makeFlows() {
  const who = ["identification", { user_fields: ["username"] }];
  const password = ["password", { backends: ["authentik.core.auth.InbuiltBackend"] }];
  const login = ["user_login", {}];
  const stages = "authenticator/webauthn";
  for (const [slug, fields] of [
    ["setup", {}],
    ["setup-passkey", { resident_key_requirement: "required", user_verification: "required" }],
    ["setup-key", { resident_key_requirement: "discouraged", user_verification: "discouraged" }],
  ]) {
    await makeFlow(slug, "stage_configuration", [stages, fields]);
  }
  await makeFlow("plain", "authentication", who, password, login);
  await makeFlow("second", "authentication", who, password, ["authenticator/validate", { not_configured_action: "deny" }], login);
  const [validate] = await makeFlow("passwordless", "authentication", ["authenticator/validate", { webauthn_user_verification: "required" }], login);
  await makeFlow("suggested", "authentication", ["identification", { user_fields: ["username"], webauthn_stage: validate.pk }], password, login);
}

let people = 0;

async function person() {
  people += 1;
  const username = `maja${people}`;
  const { pk } = await server.api("POST", "/core/users/", { username, name: `Maja Lind ${people}` });
  await server.api("POST", `/core/users/${pk}/set_password/`, { password: PASSWORD });
  return { pk, username };
}

const PASSKEY = { protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true, isUserVerified: true };
const PLAIN_KEY = { protocol: "ctap2", transport: "usb", hasResidentKey: false, hasUserVerification: false };
const OLD_KEY = { protocol: "u2f", transport: "usb" };

/** Gives a page an authenticator. */
async function plug(page, options) {
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("WebAuthn.enable", { enableUI: false });
  const { authenticatorId } = await devtools.send("WebAuthn.addVirtualAuthenticator", {
    options: { automaticPresenceSimulation: true, ...options },
  });
  return {
    set: (name, values) => devtools.send(name, { authenticatorId, ...values }),
    async credentials() {
      return (await devtools.send("WebAuthn.getCredentials", { authenticatorId })).credentials;
    },
  };
}

const start = (page, slug) => page.goto(`/if/flow/${slug}/`);
const again = (page) => page.locator(".passkey button");
const shown = (page, when) => page.locator(`.passkey [data-when="${when}"]`);

async function type(page, slug, username) {
  await start(page, slug);
  await page.fill("[name=uid_field]", username);
  await submit(page);
  await page.fill("[name=password]", PASSWORD);
  await submit(page);
}

async function signIn(page, username) {
  await type(page, "plain", username);
  await page.waitForURL("**/if/user/**");
}

async function setUp(page, slug) {
  await start(page, slug);
  await again(page).click();
  await page.waitForURL("**/if/user/**");
}

async function me(page) {
  const answer = await page.request.get("/api/v3/core/users/me/");
  return answer.ok() ? (await answer.json()).user.username : answer.status();
}

const devicesOf = async (page) => (await (await page.request.get("/api/v3/authenticators/webauthn/")).json()).results;

/** The same authenticator in a browser where nobody is signed in. */
const signOut = (page) => page.context().clearCookies();

for (const [name, options, slug] of [
  ["a passkey of this device", PASSKEY, "setup-passkey"],
  ["a passkey on a stick", { ...PASSKEY, transport: "usb" }, "setup-passkey"],
  ["a key without PIN", PLAIN_KEY, "setup-key"],
  ["a key of the old kind", OLD_KEY, "setup-key"],
]) {
  it(`${name} is set up and opens as second factor`, async () => {
    const { username } = await person();
    const page = await newPage(browser, site);
    const authenticator = await plug(page, options);
    await signIn(page, username);
    await setUp(page, slug);
    const [device, ...more] = await devicesOf(page);
    assert.equal(more.length, 0);
    assert.match(device.aaguid, /^[0-9a-f-]{36}$/);
    assert.equal((await authenticator.credentials())[0].isResidentCredential, slug === "setup-passkey");
    await signOut(page);
    await type(page, "second", username);
    await page.waitForURL("**/if/user/**");
    assert.equal(await me(page), username);
    assert.deepEqual(page.complaints, []);
    await page.context().close();
  });
}

it("a passkey signs in without name and password", async () => {
  const { username } = await person();
  const page = await newPage(browser, site);
  await plug(page, PASSKEY);
  await signIn(page, username);
  await setUp(page, "setup-passkey");
  await signOut(page);
  await start(page, "passwordless");
  await page.waitForURL("**/if/user/**");
  assert.equal(await me(page), username);
  await page.context().close();
});

it("a passkey is suggested beside the name and signs in at once", async () => {
  const { username } = await person();
  const page = await newPage(browser, site);
  await plug(page, PASSKEY);
  await signIn(page, username);
  await setUp(page, "setup-passkey");
  await signOut(page);
  // The rest of this flow asks for the password; the passkey comes first.
  await start(page, "suggested");
  await page.waitForSelector("[name=password]");
  assert.match(await page.textContent("main"), new RegExp(username));
  await page.fill("[name=password]", PASSWORD);
  await submit(page);
  await page.waitForURL("**/if/user/**");
  assert.equal(await me(page), username);
  await page.context().close();
});

it("without a passkey the name is asked for as ever", async () => {
  const { username } = await person();
  const page = await newPage(browser, site);
  await plug(page, PASSKEY);
  await start(page, "suggested");
  assert.equal(await page.getAttribute("[name=uid_field]", "autocomplete"), "username webauthn");
  await page.fill("[name=uid_field]", username);
  await submit(page);
  await page.waitForSelector("[name=password]");
  assert.deepEqual(page.complaints, []);
  await page.context().close();
});

describe("what goes wrong", () => {
  it("a person who is not recognised may try again", async () => {
    const { username } = await person();
    const page = await newPage(browser, site);
    const authenticator = await plug(page, PASSKEY);
    await signIn(page, username);
    await start(page, "setup-passkey");
    await authenticator.set("WebAuthn.setUserVerified", { isUserVerified: false });
    await again(page).click();
    await shown(page, "NotAllowedError").waitFor();
    await picture(page, "webauthn-cancelled");
    await authenticator.set("WebAuthn.setUserVerified", { isUserVerified: true });
    await again(page).click();
    await page.waitForURL("**/if/user/**");
    await signOut(page);
    await authenticator.set("WebAuthn.setUserVerified", { isUserVerified: false });
    await start(page, "passwordless");
    await shown(page, "NotAllowedError").waitFor();
    await picture(page, "webauthn-try-again");
    await authenticator.set("WebAuthn.setUserVerified", { isUserVerified: true });
    await again(page).click();
    await page.waitForURL("**/if/user/**");
    assert.equal(await me(page), username);
    await page.context().close();
  });

  it("a page whose authenticator gave up is accessible", async () => {
    const { username } = await person();
    const page = await newPage(browser, site);
    await plug(page, { ...PASSKEY, isUserVerified: false });
    await signIn(page, username);
    await start(page, "setup-passkey");
    await again(page).click();
    await shown(page, "NotAllowedError").waitFor();
    await assertAccessible(page, "a set-up that was cancelled");
    await page.context().close();
  });

  it("a copied authenticator is refused", async () => {
    const { username } = await person();
    const page = await newPage(browser, site);
    const authenticator = await plug(page, PASSKEY);
    await signIn(page, username);
    await setUp(page, "setup-passkey");
    await signOut(page);
    const [credential] = await authenticator.credentials();
    await authenticator.set("WebAuthn.removeCredential", { credentialId: credential.credentialId });
    await authenticator.set("WebAuthn.addCredential", { credential: { ...credential, signCount: 0 } });
    await type(page, "second", username);
    await page.getByText("The device could not confirm that it is you.").waitFor();
    await assertAccessible(page, "a refused passkey");
    await picture(page, "webauthn-refused");
    assert.equal(await me(page), 403);
    await page.context().close();
  });

  it("without JavaScript the page says what is missing", async () => {
    const page = await newPage(browser, site, { javaScriptEnabled: false });
    await start(page, "passwordless");
    await page.getByText("Passkeys and security keys need JavaScript.").waitFor();
    assert.equal(await again(page).isVisible(), false);
    await picture(page, "webauthn-without-javascript");
    await page.context().close();
  });

  it("at an address in numbers the page says that it cannot be done there", async () => {
    const page = await newPage(browser, server);
    await plug(page, PASSKEY);
    await start(page, "passwordless");
    await shown(page, "SecurityError").waitFor();
    await page.context().close();
  });
});

for (const colorScheme of ["light", "dark"]) {
  it(`the set-up page is accessible, ${colorScheme}`, async () => {
    const { username } = await person();
    const page = await newPage(browser, site, { colorScheme });
    await signIn(page, username);
    await start(page, "setup");
    await again(page).waitFor();
    assert.equal(await page.locator(".passkey [data-when]:visible").count(), 0, "nothing went wrong yet");
    await assertAccessible(page, "the set-up of a passkey");
    await picture(page, `webauthn-setup-${colorScheme}`);
    await page.context().close();
  });
}
