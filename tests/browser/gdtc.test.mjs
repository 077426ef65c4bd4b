// Device trust in a browser: the frame of the page, with the part of a managed Chrome and that of Google played here.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { assertAccessible, launch, newPage, picture, submit } from "./browser.mjs";
import { makeFlow, startServer } from "./server.mjs";

const { privateKey: key } = generateKeyPairSync("rsa", {
  modulusLength: 2048,
  privateKeyEncoding: { type: "pkcs8", format: "pem" },
  publicKeyEncoding: { type: "spki", format: "pem" },
});

const given = new Set();

/** What Google answers; a response is good when it repeats a challenge. */
function answer(path, body) {
  if (path === "/token") return { access_token: "token", expires_in: 3599, token_type: "Bearer" };
  if (path === "/v2/challenge:generate") {
    const challenge = randomBytes(60).toString("base64");
    given.add(challenge);
    return { challenge };
  }
  if (!given.has(JSON.parse(body).challengeResponse.replace("signed ", ""))) return null;
  return { devicePermanentId: "device-1", keyTrustLevel: "CHROME_BROWSER_HW_KEY" };
}

let browser, server, google;
before(async () => {
  google = createServer((request, response) => {
    let body = "";
    request.on("data", (part) => (body += part));
    request.on("end", () => {
      const said = answer(request.url, body);
      response.writeHead(said ? 200 : 400, { "content-type": "application/json" });
      response.end(JSON.stringify(said ?? { error: { code: 400, status: "INVALID_ARGUMENT" } }));
    });
  }).listen(0, "127.0.0.1");
  await once(google, "listening");
  server = await startServer({ env: { WEIR_OUTBOUND__GOOGLE_URL: `http://127.0.0.1:${google.address().port}` } });
  browser = await launch();
  const credentials = { client_email: "weir@project.iam.gserviceaccount.com", private_key: key };
  await makeFlow(server, "managed", ["authenticator/endpoint_gdtc", { credentials }], ["dummy", {}]);
});
after(async () => {
  await browser?.close();
  google?.close();
  await server?.stop();
});

/** Makes the page's browser behave as one that is managed: it announces itself and responds to challenges. */
async function manage(page, { sign = (challenge) => `signed ${challenge}` } = {}) {
  await page.route("**/endpoint/gdtc/chrome/", async (route) => {
    const visit = (headers) =>
      route.fetch({ headers: { ...route.request().headers(), "x-device-trust": "VerifiedAccess", ...headers }, maxRedirects: 0 });
    const challenged = await visit({});
    const { challenge } = JSON.parse(challenged.headers()["x-verified-access-challenge"]);
    const challengeResponse = sign(challenge);
    await route.fulfill({ response: await visit({ "x-verified-access-challenge-response": JSON.stringify({ challengeResponse }) }) });
  });
}

describe("device trust", () => {
  it("lets a managed browser pass without a press", async () => {
    const page = await newPage(browser, server);
    await manage(page);
    await page.goto("/if/flow/managed/");
    await page.getByText("This is the step").waitFor();
    assert.deepEqual(page.complaints, []);
    await page.context().close();
  });

  it("lets a managed browser pass without scripts, by the button", async () => {
    const page = await newPage(browser, server, { javaScriptEnabled: false });
    await manage(page);
    await page.goto("/if/flow/managed/");
    await page.frameLocator("iframe").getByText("Your browser was verified.").waitFor();
    await submit(page);
    await page.getByText("This is the step").waitFor();
    await page.context().close();
  });

  for (const [what, options] of [
    ["is not managed", null],
    ["signs with another key", { sign: () => "made up" }],
  ])
    it(`says so when a browser ${what}, and goes nowhere`, async () => {
      const page = await newPage(browser, server);
      if (options) await manage(page, options);
      await page.goto("/if/flow/managed/");
      await page.frameLocator("iframe").getByText("Access denied").waitFor();
      await assertAccessible(page, "the page with a frame");
      await submit(page);
      await page.getByText("Your browser could not be verified.").first().waitFor();
      await page.frameLocator("iframe").getByText("Access denied").waitFor();
      await picture(page, `gdtc-${options ? "forged" : "unmanaged"}`);
      assert.deepEqual(page.complaints, []);
      await page.context().close();
    });
});
