// The page of `odin serve`, against a running server with the demonstration's detector.
//
//     ODIN_URL        a server without a token, with one detector
//     ODIN_TOKEN_URL  a server that asks for the token ODIN_TOKEN, with two detectors

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { checkAccessibility, checkWidth, environment, images, launch, on, png } from "./support.mjs";

const URL_ = environment("ODIN_URL");
const TOKEN_URL = environment("ODIN_TOKEN_URL");
const TOKEN = environment("ODIN_TOKEN");
const demo = new URL("../../demo/", import.meta.url).pathname;
const [known, unknown] = ["in.npy", "near.npy"].map((file) => images(demo + file));
const FAILED = /Failed to load resource/;
const PHONE = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true };

let browser;
before(async () => { browser = await launch(); });
after(() => browser.close());

const onPage = (options, check) => on(browser, { url: URL_, ...options }, check);
const file = (name, buffer, mimeType = "image/png") => ({ name, mimeType, buffer });
const digit = (i = 0) => file("digit " + i + ".png", known[i]);
const other = (i = 0) => file("other " + i + ".png", unknown[i]);

/** Chooses files and waits for what becomes of them. */
async function choose(page, ...files) {
  await ready(page);
  await page.setInputFiles("#files", files);
  await settled(page, files.length);
}

const ready = (page) => page.waitForFunction(() => !document.getElementById("choose").disabled);

const settled = (page, count) =>
  page.waitForFunction((n) => document.querySelectorAll(".card :is(h3, .failure)").length === n, count);

/** What the server says of an image. */
async function decided(buffer, { url = URL_, headers = {}, query = "" } = {}) {
  const answer = await fetch(new URL("v1/score" + query, url), { method: "POST", body: buffer, headers: { "content-type": "image/png", ...headers } });
  return (await answer.json()).results[0];
}

async function openExplorer(page) {
  await page.locator(".explore > summary").first().click();
  await page.locator(".pictures img").first().waitFor();
}

const idle = (page) => page.waitForFunction(() => !document.querySelector("[aria-busy]"));
const shownScore = async (page) => Number(await page.locator(".explore output").first().textContent());

/** Moves a slider to a stop. */
async function slide(page, name, stop) {
  await page.getByRole("slider", { name }).fill(String(stop));
  await idle(page);
}

/** Answers requests to a path instead of the server, the first so many times. */
async function instead(page, path, answer, times = Infinity) {
  let left = times;
  await page.route(path, (route) => (left-- > 0 ? answer(route) : route.fallback()));
}

const refused = (status, error, headers = {}) => (route) =>
  route.fulfill({ status, contentType: "application/json", headers: { "x-request-id": "abc-1", ...headers }, body: JSON.stringify({ error, request_id: "abc-1" }) });

/** Loads the page again, as from a server with other limits. */
async function limited(page, limits) {
  await page.route("**/info", async (route) => {
    const info = await (await route.fetch()).json();
    await route.fulfill({ json: { ...info, limits: { ...info.limits, ...limits } } });
  });
  await page.reload();
}

const contains = async (locator, ...texts) => {
  const seen = await locator.innerText();
  for (const text of texts) assert.ok(seen.includes(text), text + " is not in: " + seen);
};

/** Where the score and the threshold are in a histogram. */
const marks = (card) => Promise.all([".mark", ".limit"].map(async (name) => Number(await card.locator("figure line" + name).getAttribute("x1"))));

const REFUSALS = [
  [400, "the image is no PNG", "This image cannot be scored", false],
  [404, "there is no detector of this name", "Not found on this server", true],
  [408, "the body did not come in time", "Sending took too long", true],
  [413, "the body is too large", "Too large", false],
  [415, "this content type is not taken", "A kind of file that the server does not take", false],
  [500, "scoring failed", "Something went wrong in the server", true],
  [503, "the server is ending", "The server is shutting down or starting", true],
  [504, "scoring took more than 30 s", "Scoring took too long", true],
];

// Much of a test is waiting: several run at once.
describe("the page", { concurrency: 3 }, () => {
  test("empty, it tells what it takes and what the detector is", () =>
    onPage({}, async (page) => {
      await ready(page);
      await contains(page.locator("main"), "Choose images", "PNG, JPEG, WebP, BMP or GIF", "DenseNet-BC-22-12", "T = 1000, ε = 0.005", "361 images");
      assert.equal(await page.locator("#results, #history, #token, #notice, #detectors").evaluateAll((all) => all.filter((one) => !one.hidden).length), 0);
      await page.getByText("From a program").click();
      await contains(page.locator("#command"), "curl -F image=@photo.jpg '" + new URL("v1/score?detector=", URL_));
      await checkAccessibility(page);
    }));

  test("an image that the detector knows, and one that it does not", () =>
    onPage({}, async (page) => {
      await choose(page, digit(), other());
      for (const [i, { buffer }] of [digit(), other()].entries()) {
        const result = await decided(buffer);
        const card = page.locator(".card").nth(i);
        assert.equal(result.is_in_distribution, i === 0);
        await contains(card, i === 0 ? "In-distribution" : "Out-of-distribution", "class " + result.prediction, result.percentile.toFixed(1), result.p_value.toPrecision(2));
        await contains(card.locator(".numbers"), result.score.toFixed(6), i === 0 ? "not below the threshold" : "below the threshold", result.threshold.toFixed(6));
        const described = await card.getByRole("img", { name: /Histogram of the scores of 361 calibration images/ }).getAttribute("aria-label");
        assert.ok(described.includes("This image: " + result.score.toFixed(6)), described);
      }
      const [score, threshold] = await marks(page.locator(".card").nth(1));
      assert.ok(score < threshold, score + " left of " + threshold);
      await checkAccessibility(page);
    }));

  test("what came out is announced to those who do not see it", () =>
    onPage({}, async (page) => {
      const announced = (text) => page.getByRole("status").filter({ hasText: text }).first().waitFor({ state: "attached" });
      await choose(page, other());
      await announced("other 0.png: Out-of-distribution. Predicted class: class");
      await page.setInputFiles("#files", [digit(), digit(1)]);
      await announced("3 images: 2 in-distribution, 1 out-of-distribution");
    }));

  for (const [how, event] of [["drop", "dataTransfer"], ["paste", "clipboardData"]]) {
    test("images by " + how, () =>
      onPage({}, async (page) => {
        await ready(page);
        await page.evaluate(([type, property, bytes]) => {
          const data = new DataTransfer();
          bytes.forEach((one, i) => data.items.add(new File([Uint8Array.from(one)], "image " + i + ".png", { type: "image/png" })));
          const made = new (type === "drop" ? DragEvent : ClipboardEvent)(type, { [property]: data, bubbles: true, cancelable: true });
          document.body.dispatchEvent(made);
        }, [how, event, [[...known[0]], [...unknown[0]]]]);
        await settled(page, 2);
        await contains(page.locator("#summary"), "2 images: 1 in-distribution, 1 out-of-distribution");
      }));
  }

  test("many images at once, one of them none", () =>
    onPage({ expected: FAILED }, async (page) => {
      const files = Array.from({ length: 12 }, (_, i) => digit(i));
      await choose(page, ...files, file("notes.png", Buffer.from("no image")));
      await contains(page.locator("#summary"), "13 images", "1 without a decision");
      const names = await page.locator(".card bdi").allTextContents();
      assert.deepEqual(names, [...files.map(({ name }) => name), "notes.png"]);
      await page.getByRole("button", { name: "Remove all" }).click();
      assert.equal(await page.locator(".card").count(), 0);
    }));

  test("the first so many of too many images", () =>
    onPage({}, async (page) => {
      await limited(page, { images: 2 });
      await ready(page);
      await page.setInputFiles("#files", [digit(0), digit(1), digit(2)]);
      await settled(page, 2);
      await contains(page.getByRole("alert"), "The first 2 of 3 were taken");
    }));

  test("a detector that was replaced shows its own numbers", () =>
    onPage({}, async (page) => {
      await page.route("**/info", async (route) => {
        const info = await (await route.fetch()).json();
        info.detectors[0].version = "older";
        info.detectors[0].calibrated_on.in_images = 5;
        await route.fulfill({ json: info });
        await page.unroute("**/info");
      });
      await page.reload();
      await choose(page, digit());
      await contains(page.locator("#facts"), "361 images");
      assert.ok(await page.getByRole("img", { name: /361 calibration images/ }).isVisible());
    }));

  test("the sliders move the score, and the way back is exact", () =>
    onPage({}, async (page) => {
      const result = await decided(known[3]);
      await choose(page, digit(3));
      await openExplorer(page);
      assert.equal((await shownScore(page)).toFixed(6), result.score.toFixed(6));
      await contains(page.locator(".outcome"), "The decision above is for it", "The perturbation moved it by +");
      assert.equal(await page.locator(".pictures img.small").count(), 4);

      const seen = new Set([await shownScore(page)]);
      for (const stop of [0, 50, 100]) {
        await slide(page, /^Temperature/, stop);
        seen.add(await shownScore(page));
      }
      await contains(page.locator(".outcome"), "T = 100, ε = 0.005", "No decision", "holds only at the calibrated setting");
      assert.equal(await page.locator(".axes .plot").first().locator("circle.seen").count(), 4);
      assert.equal(await page.locator(".axes .plot").nth(1).locator("circle.seen").count(), 1);
      await slide(page, /^Magnitude/, 200);
      seen.add(await shownScore(page));
      await slide(page, /^Magnitude/, 0);
      await contains(page.locator(".outcome"), "T = 100, ε = 0:", "nothing is perturbed");
      seen.add(await shownScore(page));
      assert.equal(seen.size, 6);
      await checkAccessibility(page);

      await page.getByRole("button", { name: "Back to the calibrated setting" }).click();
      await idle(page);
      assert.equal((await shownScore(page)).toFixed(6), result.score.toFixed(6));
      await contains(page.locator(".outcome"), "T = 1000, ε = 0.005", "The decision above is for it");
    }));

  test("of several moves the last one counts, whichever is answered last", () =>
    onPage({ expected: FAILED }, async (page) => {
      await choose(page, digit(3));
      await openExplorer(page);
      const [asked, aborted] = [[], []];
      let release;
      const held = new Promise((done) => { release = done; });
      page.on("requestfailed", (request) => aborted.push(new URL(request.url()).searchParams.get("temperature")));
      await page.route("**/v1/explore*", async (route) => {
        const temperature = new URL(route.request().url()).searchParams.get("temperature");
        asked.push(temperature);
        if (temperature === "1") await held;
        await route.continue().catch(() => {}); // the page gave it up
      });
      const slider = page.getByRole("slider", { name: /^Temperature/ });
      const first = page.waitForRequest(/temperature=1&/);
      await slider.fill("0");
      await first;
      await slider.evaluate((range) => {
        for (range.value = 90; range.value < 100; range.value++) range.dispatchEvent(new Event("input"));
        range.dispatchEvent(new Event("input"));
      });
      await idle(page);
      release();
      await page.waitForTimeout(300);
      assert.deepEqual([asked, aborted], [["1", "100"], ["1"]]);
      await contains(page.locator(".outcome"), "T = 100,");
    }));

  test("a curve over the whole range", () =>
    onPage({}, async (page) => {
      await choose(page, digit(3));
      await openExplorer(page);
      for (const i of [0, 1]) {
        await page.getByRole("button", { name: "Draw the curve" }).nth(i).click();
        await page.waitForFunction(() => document.querySelectorAll(".axes button").length === 2 && ![...document.querySelectorAll(".axes button")].some((one) => one.textContent.startsWith("Stop")));
        const plot = page.locator(".axes .plot").nth(i);
        assert.ok((await plot.locator("circle.seen").count()) >= 13);
        assert.equal(await plot.locator(".curve").count(), 1);
      }
      assert.match(await page.locator(".axes svg").first().getAttribute("aria-label"), /^Scores against T, at ε = 0.005. T = 1: /);
    }));

  for (const [status, error, title, retries] of REFUSALS) {
    test("status " + status + " in words", () =>
      onPage({ expected: FAILED }, async (page) => {
        await instead(page, "**/v1/score*", refused(status, error), 1);
        await choose(page, digit());
        const card = page.locator(".card");
        await contains(card, title, error.charAt(0).toUpperCase() + error.slice(1) + ".");
        if (status >= 500) await contains(card, "Request abc-1");
        await page.getByRole("status").filter({ hasText: title }).waitFor({ state: "attached" });
        const again = card.getByRole("button", { name: "Try again" });
        assert.equal(await again.count(), retries ? 1 : 0);
        if (status === 500) await checkAccessibility(page);
        if (retries) await again.click();
        if (retries) await card.getByText("In-distribution", { exact: true }).waitFor();
      }));
  }

  test("a server that is busy is asked again when it says so", () =>
    onPage({ expected: FAILED }, async (page) => {
      const times = [];
      await page.route("**/v1/score*", (route) => {
        times.push(Date.now());
        return times.length === 1 ? refused(429, "the queue is full", { "retry-after": "2" })(route) : route.fallback();
      });
      await ready(page);
      await page.evaluate(() => {
        window.waits = [];
        const note = () => window.waits.push(document.querySelector(".waiting")?.textContent ?? "");
        new MutationObserver(note).observe(document.getElementById("cards"), { childList: true, subtree: true });
      });
      await page.setInputFiles("#files", [digit()]);
      await settled(page, 1);
      assert.ok((await page.evaluate(() => window.waits)).some((text) => text.includes("The server is busy. Trying again in 2 seconds")));
      assert.equal(times.length, 2);
      assert.ok(times[1] - times[0] >= 2000, times[1] - times[0] + " ms");
    }));

  test("a server that is gone, a device that is offline, an answer that is none", () =>
    onPage({ expected: FAILED }, async (page, context) => {
      await instead(page, "**/v1/score*", (route) => route.abort("connectionrefused"), 1);
      await choose(page, digit());
      await contains(page.locator(".card"), "The server does not answer");
      await context.setOffline(true);
      await page.getByRole("button", { name: "Try again" }).click();
      await page.getByText("You are offline", { exact: true }).waitFor();
      await context.setOffline(false);
      await page.getByRole("button", { name: "Try again" }).click();
      await page.getByText("In-distribution", { exact: true }).first().waitFor();

      await page.route("**/v1/explore*", (route) => route.fulfill({ status: 200, body: "no JSON" }));
      await page.locator(".explore > summary").click();
      await contains(page.locator(".outcome .failure"), "The server does not answer");
      await page.unroute("**/v1/explore*");
      await page.getByRole("button", { name: "Try again" }).click();
      await page.locator(".pictures img").first().waitFor();

      await instead(page, "**/info", (route) => route.abort("connectionrefused"), 1);
      await page.reload();
      await contains(page.getByRole("alert"), "The server does not answer");
      assert.ok(await page.locator("#choose").isDisabled());
      await checkAccessibility(page);
      await page.getByRole("button", { name: "Try again" }).click();
      await ready(page);
    }));

  test("what is too large is not sent", () =>
    onPage({}, async (page) => {
      await limited(page, { body_bytes: 2000, pixels: 1000 });
      let sent = 0;
      page.on("request", (request) => { sent += request.method() === "POST" ? 1 : 0; });
      const heavy = Buffer.concat([known[0], Buffer.alloc(2000)]);
      await choose(page, file("wide.png", png(32, 32, Buffer.alloc(32 * 32))), file("heavy.png", heavy), file("empty.png", Buffer.alloc(0)));
      await contains(page.locator(".card").nth(0), "Too large", "32 × 32 pixels", "1,000 pixels");
      await contains(page.locator(".card").nth(1), "Too large", "the server takes 2 KiB", "does not shrink it");
      await contains(page.locator(".card").nth(2), "An empty file");
      assert.equal(sent, 0);
    }));

  test("an image goes as it is", () =>
    onPage({}, async (page) => {
      await page.evaluate(() => {
        const { fetch } = window;
        window.fetch = async (path, options) => {
          window.sent = [...new Uint8Array(await options.body.arrayBuffer())];
          return fetch(path, options);
        };
      });
      await choose(page, digit(7));
      assert.deepEqual(await page.evaluate(() => window.sent), [...known[7]]);
    }));

  test("a token, asked for, refused and taken; two detectors", () =>
    onPage({ url: TOKEN_URL, expected: FAILED }, async (page) => {
      const field = page.getByLabel("Token");
      await contains(page.locator("#token"), "asks for a token");
      await checkAccessibility(page);
      await field.fill("wrong");
      await page.keyboard.press("Enter");
      await contains(page.locator("#token").filter({ hasText: "refused" }), "The server refused this token");
      await field.fill(TOKEN);
      await page.getByRole("button", { name: "Use this token" }).click();
      await ready(page);
      assert.ok(await page.locator("#token").isHidden());
      assert.deepEqual(await page.evaluate(() => [Object.values(sessionStorage), Object.values(localStorage)]), [[TOKEN], []]);
      assert.ok(!page.url().includes(TOKEN));
      await page.reload();
      await choose(page, digit(2));

      const options = await page.getByLabel("Detector", { exact: true }).locator("option").allTextContents();
      assert.equal(options.length, 2);
      const scores = [];
      for (const name of options) {
        await page.getByLabel("Detector", { exact: true }).selectOption(name);
        const query = "?detector=" + encodeURIComponent(name);
        const result = await decided(known[2], { url: TOKEN_URL, query, headers: { authorization: "Bearer " + TOKEN } });
        await page.waitForFunction((score) => Math.abs(Number(document.querySelector(".numbers b")?.textContent) - score) < 0.01, result.score);
        await contains(page.locator("#facts"), name + ", version");
        scores.push(result.score);
      }
      assert.notEqual(scores[0], scores[1]);
      // A calibrated setting that no slider's step falls on.
      const explored = page.waitForResponse(/v1\/explore/);
      await openExplorer(page);
      const answer = await (await explored).json();
      const { temperature, magnitude, precision } = answer.setting;
      assert.deepEqual([temperature, magnitude, precision, answer.calibrated], [137.5, 0.01234, "exact", true]);
      await contains(page.locator(".outcome"), "T = 137.5, ε = 0.01234", "decides by energy");
      await checkAccessibility(page);
      assert.equal(await page.evaluate((token) => Object.values(localStorage).some((value) => value.includes(token)), TOKEN), false);
    }));

  test("recent decisions survive, are bounded, and are cleared", () =>
    onPage({}, async (page) => {
      await choose(page, digit(), other());
      await page.reload();
      await ready(page);
      const row = page.locator("#decisions li");
      assert.equal(await row.count(), 2);
      assert.deepEqual((await page.locator("#decisions .decision").allTextContents()).sort(), ["In-distribution", "Out-of-distribution"]);
      assert.equal(await row.locator("img").count(), 2);
      await contains(page.locator("#history"), "in this browser only");
      await checkAccessibility(page);

      await page.evaluate(() => {
        const [one] = JSON.parse(localStorage.getItem("odin.decisions"));
        localStorage.setItem("odin.decisions", JSON.stringify(Array(500).fill(one)));
      });
      await page.reload();
      await choose(page, digit(1));
      assert.equal(await row.count(), 40);
      assert.equal(await page.evaluate(() => JSON.parse(localStorage.getItem("odin.decisions")).length), 40);

      await page.getByRole("button", { name: "Clear" }).click();
      assert.ok(await page.locator("#history").isHidden());
      assert.equal(await page.evaluate(() => localStorage.length), 0);
      assert.equal(await page.evaluate(() => document.activeElement.id), "choose");
    }));

  test("names and storage are text, whatever is in them", () =>
    onPage({}, async (page) => {
      const hostile = "<img src=x onerror=alert(1)>\u202egnp.png";
      await page.evaluate((name) => {
        const kept = { at: new Date().toISOString(), name, detector: name, label: name, score: 1, threshold: 0, isIn: true, thumbnail: "javascript:alert(1)" };
        localStorage.setItem("odin.decisions", JSON.stringify([kept, null, 3, { ...kept, score: "1" }, { ...kept, at: "never" }]));
      }, hostile);
      await page.reload();
      await choose(page, file(hostile, known[0]));
      assert.equal(await page.locator("img[src='x']").count(), 0);
      await contains(page.locator(".card bdi"), "<img src=x onerror=alert(1)>\\u{202e}gnp.png");
      assert.equal(await page.locator("#decisions li").count(), 2);
      await page.evaluate(() => localStorage.setItem("odin.decisions", "{"));
      await page.reload();
      await ready(page);
      assert.ok(await page.locator("#history").isHidden());
    }));

  test("by keyboard alone", () =>
    onPage({}, async (page) => {
      const chooser = page.waitForEvent("filechooser");
      await ready(page);
      await page.keyboard.press("Tab");
      assert.equal(await page.evaluate(() => document.activeElement.id), "choose");
      assert.notEqual(await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle), "none");
      await page.keyboard.press("Enter");
      await (await chooser).setFiles([digit(3)]);
      await settled(page, 1);
      const focused = () => page.evaluate(() => (document.activeElement.textContent + document.activeElement.type).slice(0, 40));
      const next = async (wanted) => {
        await page.keyboard.press("Tab");
        assert.match(await focused(), wanted);
      };
      await next(/^Remove all/);
      await next(/^How the score moves/);
      await page.keyboard.press("Enter");
      await page.locator(".pictures img").first().waitFor();
      const first = await shownScore(page);
      await next(/^Back to the calibrated/);
      await next(/^Draw the curve/);
      await next(/range/);
      for (let i = 0; i < 20; i++) await page.keyboard.press("ArrowLeft");
      await idle(page);
      await contains(page.locator(".outcome"), "T = 398,");
      assert.notEqual(await shownScore(page), first);
      assert.equal(await page.getByRole("slider", { name: /^Temperature/ }).getAttribute("aria-valuetext"), "T = 398");
      await page.keyboard.press("Shift+Tab");
      await page.keyboard.press("Shift+Tab");
      await page.keyboard.press("Enter");
      await idle(page);
      assert.equal(await shownScore(page), first);
      await page.keyboard.press("Shift+Tab");
      await page.keyboard.press("Shift+Tab");
      assert.match(await focused(), /^Remove all/);
      await page.keyboard.press("Space");
      assert.equal(await page.evaluate(() => document.activeElement.id), "choose");
    }));

  test("on a phone: nothing scrolls sideways, photographs can be taken", () =>
    onPage({ ...PHONE, expected: FAILED }, async (page) => {
      await ready(page);
      await checkWidth(page);
      assert.equal(await page.locator("#camera").getAttribute("capture"), "environment");
      const chooser = page.waitForEvent("filechooser");
      await page.getByRole("button", { name: "Take a photograph" }).tap();
      const long = "a name ".repeat(20) + "without_any_place_to_break".repeat(5) + ".png";
      await (await chooser).setFiles([file(long, known[0])]);
      await settled(page, 1);
      await openExplorer(page);
      await page.setInputFiles("#files", [file("notes.png", Buffer.from("no image"))]);
      await settled(page, 2);
      await checkWidth(page);
      await checkAccessibility(page);
    }));

  test("on a desktop no photograph is offered", () =>
    onPage({}, async (page) => {
      assert.ok(await page.getByText("Take a photograph").isHidden());
    }));

  test("printed: decisions without what only a screen can use, in light colours", () =>
    onPage({ colorScheme: "dark" }, async (page) => {
      await choose(page, digit());
      await page.emulateMedia({ media: "print" });
      assert.ok(await page.locator("#choose").isHidden());
      assert.ok(await page.locator(".card .plot").first().isVisible());
      assert.equal(await page.evaluate(() => getComputedStyle(document.body).backgroundColor), "rgb(255, 255, 255)");
    }));
});
