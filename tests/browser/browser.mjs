// Headless Chromium, accessibility checks and screenshots.
import assert from "node:assert/strict";
import { mkdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const ARGUMENTS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const PICTURES = join(dirname(fileURLToPath(import.meta.url)), "../../test-results/browser");
const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];

export const launch = () =>
  chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ARGUMENTS });

/** A page nobody has used; what its console complains of is collected in `page.complaints`. */
export async function newPage(browser, server, options = {}) {
  const context = await browser.newContext({ baseURL: server.url, viewport: { width: 1100, height: 800 }, ...options });
  context.setDefaultTimeout(10_000);
  const page = await context.newPage();
  page.complaints = [];
  page.on("pageerror", (error) => page.complaints.push(String(error)));
  page.on("console", (message) => {
    // A refused sign-in or a 403 is an answer the tests ask for; a blocked script or a broken module is not.
    if (message.type() === "error" && !/status of 4\d\d/.test(message.text())) page.complaints.push(message.text());
  });
  return page;
}

/** Sends the page's form: the first one, should there be several. */
export const submit = (page) => page.locator("main button[type=submit], form button[type=submit]").first().click();

export async function picture(page, name) {
  await mkdir(PICTURES, { recursive: true });
  await page.screenshot({ path: join(PICTURES, `${name}.png`), fullPage: true });
}

/** No violation of WCAG 2.2 A and AA that a program can find. Runs beside the page's content policy, not against it. */
export async function assertAccessible(page, where) {
  const devtools = await page.context().newCDPSession(page);
  const evaluate = async (expression) => {
    const { result, exceptionDetails } = await devtools.send("Runtime.evaluate", {
      expression,
      awaitPromise: true,
      returnByValue: true,
    });
    assert.equal(exceptionDetails, undefined, exceptionDetails?.exception?.description);
    return result.value;
  };
  await evaluate(`${AXE};true`);
  const options = JSON.stringify({ runOnly: { type: "tag", values: RULES } });
  const violations = await evaluate(
    `axe.run(document, ${options}).then((it) => it.violations.map((v) => v.id + ": " + v.nodes.map((n) => n.html).join(" | ")))`,
  );
  await devtools.detach();
  assert.deepEqual(violations, [], `accessibility of ${where}`);
}
