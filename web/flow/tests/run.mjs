// Looks at every page in a real browser: axe (WCAG 2.2 AA), the content policy, no sideways scrolling, no script needed.
//
//   npm test                      builds the gallery with cargo and checks all of it
//   GALLERY_DIR=…                 an existing gallery instead of a new one
//   SCREENSHOT_DIR=…              where pictures go (default: a folder of the system's temporary directory)
//   ONLY=prompt                   only pages whose file name contains this
//   CHROMIUM=…                    the browser, if it is not on the path

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import { mkdirSync, mkdtempSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { launch } from "./browser.mjs";
import { behaviour } from "./behaviour.mjs";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
const TYPES = { ".html": "text/html; charset=utf-8", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".png": "image/png", ".jpg": "image/jpeg" };

const gallery = process.env.GALLERY_DIR ?? build();
const pictures = process.env.SCREENSHOT_DIR ?? join(tmpdir(), "weir-flow-screenshots");
const index = JSON.parse(readFileSync(join(gallery, "index.json"), "utf8"));
const chosen = index.filter((entry) => entry.file.includes(process.env.ONLY ?? ""));
assert.ok(chosen.length > 0, "no page to look at");

function build() {
  const folder = mkdtempSync(join(tmpdir(), "weir-gallery-"));
  execFileSync("cargo", ["run", "--quiet", "-p", "weir-pages", "--example", "gallery", "--", folder], { cwd: root, stdio: "inherit" });
  return folder;
}

function serve() {
  const policies = new Map(index.map((entry) => [`/${entry.file}`, entry.csp]));
  const server = createServer((request, response) => {
    const path = normalize(new URL(request.url, "http://localhost").pathname);
    try {
      const bytes = readFileSync(join(gallery, path));
      response.setHeader("content-type", TYPES[extname(path)] ?? "application/octet-stream");
      if (policies.has(path)) response.setHeader("content-security-policy", policies.get(path));
      response.end(bytes);
    } catch {
      response.statusCode = 404;
      response.end();
    }
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

/** What is wrong with a page in its two widths; empty when it is fine. */
async function look(context, url, entry) {
  const page = await context.newPage();
  const problems = [];
  page.on("console", (message) => {
    if (/Content.Security.Policy/.test(message.text())) problems.push(message.text());
  });
  page.on("pageerror", (error) => problems.push(`script error: ${error.message}`));
  // Pages that leave at once are held, or there would be nothing to look at.
  await page.route(/\/if\/user\/|sp\.example\.com/, (route) => route.fulfill({ status: 204 }));
  await page.route(/oauth\.telegram\.org/, (route) => route.fulfill({ contentType: "text/html", body: "<p>a button" }));
  if (/^(autosubmit|iframe-logout|native-logout)/.test(entry.name)) await page.route(/flow\.js/, (route) => route.abort());
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.goto(url, { waitUntil: "load" });
  // Evaluated from outside, so the page's own policy needs no exception for it.
  await page.evaluate(axeSource);
  for (const width of [1280, 360]) {
    await page.setViewportSize({ width, height: width < 500 ? 780 : 900 });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    if (wide > 0) problems.push(`at ${width} it scrolls sideways by ${wide}px`);
    await page.screenshot({ path: join(pictures, `${entry.file.replace(/\.html$/, "")}.${width}.png`), fullPage: true });
    const result = await page.evaluate((tags) => globalThis.axe.run(document, { runOnly: tags, iframes: false }), TAGS);
    for (const { id, help, nodes } of result.violations) {
      const where = nodes.map((node) => `${node.target.join(" ")} ${node.any[0]?.message ?? ""}`);
      problems.push(`at ${width} ${id}: ${help}: ${where.join(" | ")}`);
    }
  }
  await page.close();
  return problems;
}

mkdirSync(pictures, { recursive: true });
const server = await serve();
const base = `http://127.0.0.1:${server.address().port}`;
const browser = await launch();
let failures = 0;
const report = (name, problems) => {
  if (problems.length === 0) return;
  failures += 1;
  console.error(`not ok ${name}\n    ${problems.join("\n    ")}`);
};
try {
  const contexts = {};
  for (const theme of ["light", "dark"]) contexts[theme] = await browser.newContext({ colorScheme: theme });
  const waiting = [...chosen];
  const worker = async () => {
    for (let entry = waiting.shift(); entry; entry = waiting.shift()) {
      report(entry.file, await look(contexts[entry.theme], `${base}/${entry.file}`, entry));
    }
  };
  await Promise.all([worker(), worker()]);
  console.log(`${chosen.length} pages looked at in two widths, pictures in ${pictures}`);
  if (!process.env.ONLY) {
    for (const [name, check] of Object.entries(behaviour)) {
      try {
        await check(browser, base);
        console.log(`ok ${name}`);
      } catch (error) {
        report(name, [error.stack ?? String(error)]);
      }
    }
  }
} finally {
  await browser.close();
  server.close();
}
if (failures > 0) {
  console.error(`${failures} failed`);
  process.exit(1);
}
