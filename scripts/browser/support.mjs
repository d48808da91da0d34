// What the browser tests share: a browser, images, and what every page must keep to.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { deflateSync } from "node:zlib";

const required = (name) => process.env[name] ?? assert.fail(name + " is not set: run scripts/browser/run.sh");
const packages = createRequire(required("ODIN_BROWSER_PACKAGES") + "/");
const { chromium } = packages("playwright-core");
const axe = packages("axe-core");

export const environment = required;

export const launch = () =>
  chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });

/** A page in a context of its own; afterwards it must have kept to the rules. */
export async function on(browser, options, test) {
  const { url, expected = /^$/, ...rest } = options;
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, reducedMotion: "reduce", ...rest });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000); // a machine may have much else to do
  const broken = watch(page, url, expected);
  try {
    await page.goto(url);
    await test(page, context);
  } finally {
    await context.close();
  }
  assert.deepEqual(broken, []);
}

/** Collects errors on the console, violations of the policy, and requests to anywhere else. */
function watch(page, url, expected) {
  const broken = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type()) && !expected.test(message.text())) broken.push(message.text());
  });
  page.on("pageerror", (error) => broken.push(error.stack));
  page.on("request", (request) => {
    const to = new URL(request.url());
    if (["http:", "https:", "file:"].includes(to.protocol) && to.origin !== new URL(url).origin) broken.push("request to " + to);
    if (to.protocol === "file:" && to.href !== url) broken.push("request to " + to);
  });
  return broken;
}

/** Checks accessibility, and what depends on colours again in dark ones. */
export async function checkAccessibility(page) {
  await page.evaluate(axe.source);
  for (const [colorScheme, rules] of [["light", null], ["dark", ["color-contrast"]]]) {
    await page.emulateMedia({ colorScheme });
    const options = { resultTypes: ["violations"], ...(rules && { runOnly: rules }) };
    const { violations } = await page.evaluate((asked) => window.axe.run(document, asked), options);
    const told = violations.flatMap(({ id, help, nodes }) => nodes.map((node) => id + ": " + help + ": " + node.html + " " + node.failureSummary));
    assert.deepEqual(told, [], colorScheme);
  }
}

/** Nothing scrolls sideways, but for boxes that are made to. */
export async function checkWidth(page) {
  const [wide, shown] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
  assert.ok(wide <= shown, wide + " px in a window of " + shown + " px");
}

/** The images of an .npy file of `u1` in [N, 1, H, W], as PNG files. */
export function images(path) {
  const bytes = readFileSync(path);
  const length = bytes.readUInt16LE(8);
  const header = bytes.toString("latin1", 10, 10 + length);
  assert.match(header, /'descr': '\|u1'/);
  const [count, , height, width] = header.match(/\(([\d, ]+)\)/)[1].split(",").map(Number);
  const size = height * width;
  return Array.from({ length: count }, (_, i) => {
    const start = 10 + length + i * size;
    return png(width, height, bytes.subarray(start, start + size));
  });
}

/** A PNG file in grey. */
export function png(width, height, pixels) {
  const rows = Array.from({ length: height }, (_, y) => Buffer.concat([Buffer.of(0), pixels.subarray(y * width, (y + 1) * width)]));
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 0, 0, 0, 0], 8);
  const signature = Buffer.from("89504e470d0a1a0a", "hex");
  return Buffer.concat([signature, chunk("IHDR", header), chunk("IDAT", deflateSync(Buffer.concat(rows))), chunk("IEND", Buffer.alloc(0))]);
}

function chunk(name, data) {
  const content = Buffer.concat([Buffer.from(name), data]);
  const [length, check] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  check.writeUInt32BE(crc32(content));
  return Buffer.concat([length, content, check]);
}

/** The checksum of PNG; `node:zlib` has it from Node 22 on. */
function crc32(bytes) {
  let check = ~0;
  for (const byte of bytes) {
    check ^= byte;
    for (let bit = 0; bit < 8; bit++) check = (check >>> 1) ^ (check & 1 ? 0xedb88320 : 0);
  }
  return ~check >>> 0;
}
