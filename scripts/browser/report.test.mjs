// The pages of --report, from the folder ODIN_REPORTS: eval.html, tune.html, calibrate.html (by
// --tpr 0.9, with an out-set), drift.html.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { checkAccessibility, checkWidth, environment, launch, on } from "./support.mjs";

const folder = environment("ODIN_REPORTS");
const address = (name) => pathToFileURL(folder + "/" + name + ".html").href;

let browser;
before(async () => { browser = await launch(); });
after(() => browser.close());

for (const name of ["eval", "tune", "calibrate", "drift"]) {
  test(name + ": loads nothing, is accessible in light and dark", () =>
    on(browser, { url: address(name) }, async (page) => {
      await page.locator("details").evaluateAll((all) => all.forEach((one) => { one.open = true; }));
      await checkAccessibility(page);
    }));

  test(name + ": nothing but boxes scrolls sideways on a phone", () =>
    on(browser, { url: address(name), viewport: { width: 360, height: 740 }, isMobile: true }, async (page) => {
      await checkWidth(page);
      await page.locator("details").evaluateAll((all) => all.forEach((one) => { one.open = true; }));
      await checkWidth(page);
    }));
}

for (const name of ["eval", "calibrate"]) {
  test(name + ": the threshold moves by keyboard, and back", () =>
    on(browser, { url: address(name) }, async (page) => {
      const box = page.locator("[data-slider]").first();
      const slider = box.getByRole("slider");
      const cells = () => box.locator("td").allTextContents();
      const first = await cells();
      await slider.focus();
      await page.keyboard.press("Home");
      const [kept, rejected] = await cells();
      assert.equal(rejected, "0");
      assert.equal(Number(kept), Number(first[0]) + Number(first[1]));
      await page.keyboard.press("End");
      for (let i = 0; i < 3; i++) await page.keyboard.press("ArrowLeft");
      assert.notDeepEqual(await cells(), first);
      assert.match(await slider.getAttribute("aria-valuetext"), /^[\d.]+, TPR [\d.]+%, FPR [\d.]+%$/);
      await page.keyboard.press("Tab");
      await page.keyboard.press("Enter");
      assert.deepEqual(await cells(), first);
    }));
}

test("calibrate: the threshold starts where it is in force", () =>
  on(browser, { url: address("calibrate") }, async (page) => {
    for (const box of await page.locator("[data-slider]").all()) {
      assert.match(await box.locator('[data-of="tpr"]').textContent(), /^TPR 90\.\d%$/);
    }
  }));
