// Flows built through the API, opened in a browser.
import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import { assertAccessible, launch, newPage, picture, submit } from "./browser.mjs";
import { makeFlow, startServer } from "./server.mjs";

let browser, server;
before(async () => {
  server = await startServer();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

for (const javaScriptEnabled of [true, false]) {
  const label = javaScriptEnabled ? "with" : "without";

  it(`a deny flow says why, ${label} JavaScript`, async () => {
    const slug = `deny-${label}`;
    await makeFlow(server, slug, ["deny", { deny_message: "Closed on Sundays." }]);
    const page = await newPage(browser, server, { javaScriptEnabled });
    await page.goto(`/if/flow/${slug}/`);
    await page.getByText("Closed on Sundays.").waitFor();
    await picture(page, `denied-${label}-javascript`);
    if (javaScriptEnabled) await assertAccessible(page, "a denied flow");
    assert.deepEqual(page.complaints, []);
    await page.context().close();
  });

  it(`a flow of three stages is walked to its end, ${label} JavaScript`, async () => {
    const slug = `walk-${label}`;
    await makeFlow(server, slug, ["identification", { user_fields: ["username"] }], ["dummy", {}], ["dummy", {}]);
    const page = await newPage(browser, server, { javaScriptEnabled });
    await page.goto(`/if/flow/${slug}/?next=%2F-%2Fhealth%2Flive%2F`);
    await page.fill("[name=uid_field]", "akadmin");
    await submit(page);
    for (const number of [1, 2]) {
      await page.getByText(`${slug}-${number}`).first().waitFor();
      if (javaScriptEnabled) await assertAccessible(page, "a dummy stage");
      await submit(page);
    }
    await page.waitForURL("**/-/health/live/");
    await page.context().close();
  });
}

it("an answer left out is named, with what is missing", async () => {
  await makeFlow(server, "empty", ["identification", { user_fields: ["username"] }]);
  const page = await newPage(browser, server, { javaScriptEnabled: false });
  await page.goto("/if/flow/empty/");
  await page.locator("form.step").evaluate((form) => form.setAttribute("novalidate", ""));
  await submit(page);
  await page.locator("[role=alert]").filter({ hasText: "No identification data provided." }).waitFor();
  assert.equal(await page.getAttribute("[name=uid_field]", "aria-describedby"), "errors");
  await page.context().close();
});

it("a flow nobody made is not found", async () => {
  const page = await newPage(browser, server);
  const answer = await page.goto("/if/flow/nobody-made-this/");
  assert.equal(answer.status(), 404);
  await page.context().close();
});

it("what people typed is shown as text, never as markup", async () => {
  await makeFlow(server, "markup", ["deny", { deny_message: "<img src=x onerror=document.title='broken'>" }]);
  const page = await newPage(browser, server);
  await page.goto("/if/flow/markup/");
  await page.getByText("<img src=x").waitFor();
  assert.notEqual(await page.title(), "broken");
  await page.context().close();
});
