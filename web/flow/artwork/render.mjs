// Draws our own artwork. Run `npm run artwork` after a change and commit what it writes to assets/.
// The motif: water that comes in calm, falls over the weir and spreads.

import { writeFile } from "node:fs/promises";
import { launch } from "../tests/browser.mjs";

const out = new URL("../assets/", import.meta.url);
const save = (name, data) => writeFile(new URL(name, out), data);

function lines() {
  const count = 22;
  const paths = [];
  for (let i = 0; i < count; i += 1) {
    const t = i / (count - 1);
    const calm = Math.round(150 + i * 15);
    const fallen = Math.round(430 + i * 27 + 14 * Math.sin(i * 0.9));
    const crest = Math.round(700 + 60 * t);
    const middle = Math.round((calm + fallen) / 2);
    const foot = Math.round(crest + 250 + 90 * t);
    const opacity = (0.25 + 0.75 * Math.sin(Math.PI * (0.12 + 0.76 * t))).toFixed(2);
    paths.push(
      `<path opacity="${opacity}" d="M-20 ${calm}C${crest - 260} ${calm} ${crest} ${calm - 6} ${crest + 90} ${middle}` +
        `S${foot} ${fallen + 10} 1620 ${fallen}"/>`,
    );
  }
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1600 1000" preserveAspectRatio="xMidYMid slice">` +
    `<g fill="none" stroke="#000" stroke-width="1.6">${paths.join("")}</g></svg>\n`
  );
}

const mark =
  `<rect width="64" height="64" rx="16" fill="url(#w)"/>` +
  `<g fill="none" stroke="#fff" stroke-width="5" stroke-linecap="round">` +
  `<path d="M12 19h11c10 0 8 13 18 13h11"/><path opacity=".8" d="M12 29h9c10 0 8 13 18 13h13"/>` +
  `<path opacity=".55" d="M12 39h7c10 0 8 9 18 9"/></g>`;
const gradient =
  `<defs><linearGradient id="w" x1="0" y1="0" x2="1" y2="1"><stop stop-color="#12838a"/><stop offset="1" stop-color="#0a4f5c"/></linearGradient></defs>`;

const icon = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64">${gradient}${mark}</svg>\n`;
const wordmark =
  `<g class="t" fill="none" stroke-width="5.6" stroke-linecap="round" stroke-linejoin="round">` +
  `<path d="M80 19l8.5 26L98 23l9.5 22L116 19"/><path d="M126 35.5h19.4A9.7 9.7 0 1 0 142.4 42.6"/>` +
  `<path d="M158 27v18M158 18.2v.1M170 27v18M170 36c0-6 4-9.2 10-8.8"/></g>`;
const leftBrand =
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 184 64" width="184" height="64">` +
  `<style>.t{stroke:#10262c}@media(prefers-color-scheme:dark){.t{stroke:#e8f2f1}}</style>${gradient}${mark}` +
  `${wordmark}</svg>\n`;

const person =
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64"><rect width="64" height="64" fill="#d5e5e4"/>` +
  `<g fill="#4d7178"><circle cx="32" cy="25" r="11"/><path d="M10 64c0-16 9-25 22-25s22 9 22 25z"/></g></svg>`;

const backdrop = (svg) =>
  `<body style="margin:0;background:linear-gradient(160deg,#eef5f3,#cfe1e0 55%,#a9cbcd)">` +
  `<div style="width:1200px;height:750px;opacity:.5">${svg.replaceAll("#000", "#0a6c70").replace("1.6", "3")}</div>`;

await save("lines.svg", lines());
await save("icon.svg", icon);
await save("icon_left_brand.svg", leftBrand);

const browser = await launch();
async function shot(name, html, width, height, options) {
  const page = await browser.newPage({ viewport: { width, height } });
  await page.setContent(html);
  await save(name, await page.screenshot(options));
  await page.close();
}
const bare = (svg, width, height) =>
  `<body style="margin:0"><div style="width:${width}px;height:${height}px">${svg.replace(/ width="\d+" height="\d+">/, ">")}</div>`;
await shot("icon.png", bare(icon, 64, 64), 64, 64, { omitBackground: true });
await shot("icon_left_brand.png", bare(leftBrand, 184, 64), 184, 64, { omitBackground: true });
await shot("user_default.png", bare(person, 64, 64), 64, 64, {});
await shot("flow_background.jpg", backdrop(lines()), 1200, 750, { type: "jpeg", quality: 30 });
await browser.close();
