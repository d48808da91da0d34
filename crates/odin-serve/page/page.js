// The page of `odin serve`. What comes from a file, a server or the storage becomes text or a
// number, never markup.

const WORKERS = 4; // images in flight
const ATTEMPTS = 6; // at a server that is busy
const THUMBNAIL = 128; // pixels
const KEPT = 40; // decisions in the history
const DEBOUNCE = 120; // ms
const ACCEPTED = ["image/png", "image/jpeg", "image/webp", "image/bmp", "image/gif"];
const HISTORY = "odin.decisions";
const TOKEN = "odin.token";
const IN = "In-distribution";
const OUT = "Out-of-distribution";

const byId = (id) => document.getElementById(id);

/** What the page knows. */
const state = { info: null, detector: null, token: stored(sessionStorage, TOKEN), cards: [] };

// ---------------------------------------------------------------------------- elements

function make(tag, attributes = {}, ...content) {
  return filled(document.createElement(tag), attributes, content);
}

function svg(tag, attributes = {}, ...content) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, content);
}

function filled(element, attributes, content) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null) element.setAttribute(name, value);
  }
  element.append(...content.filter((part) => part !== null));
  return element;
}

function button(label, action, attributes = {}) {
  const made = make("button", { type: "button", ...attributes }, label);
  made.addEventListener("click", action);
  return made;
}

function show(element, shown = true) {
  element.hidden = !shown;
}

/** Moves the focus on before what has it is gone. */
function giveFocus(element) {
  element.tabIndex = -1;
  element.focus({ preventScroll: true });
}

// ---------------------------------------------------------------------------- words and numbers

/** With characters that would turn the direction of text, or cannot be seen, as escapes. */
function visible(text) {
  const escaped = (c) => "\\u{" + c.codePointAt(0).toString(16) + "}";
  return String(text).replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, escaped);
}

function count(number, what) {
  return number.toLocaleString("en") + " " + what + (number === 1 ? "" : "s");
}

function bytes(size) {
  if (size >= 1024 * 1024) return trimmed(size / 1024 / 1024, 1) + " MiB";
  return size >= 1024 ? trimmed(size / 1024, 1) + " KiB" : count(size, "byte");
}

function trimmed(value, decimals) {
  return String(Number(value.toFixed(decimals)));
}

/** As many decimals as tell a thousandth of this range. */
function decimalsOf(range) {
  const decimals = range > 0 ? 3 - Math.floor(Math.log10(range)) : 6;
  return Math.min(Math.max(decimals, 1), 15);
}

/** Two values with so many decimals that they look different if they are. */
function apart(first, second, decimals) {
  while (first !== second && decimals < 18 && first.toFixed(decimals) === second.toFixed(decimals)) decimals++;
  return [first.toFixed(decimals), second.toFixed(decimals)];
}

function classOf({ class: name, prediction }) {
  return name === null || name === undefined ? "class " + prediction : visible(name);
}

function scoreName(name) {
  const known = { odin: "ODIN", msp: "baseline (maximum softmax probability)" };
  return known[name] ?? visible(name);
}

function settingText({ temperature, magnitude }) {
  return "T = " + temperature + ", ε = " + magnitude;
}

function signed(value, decimals) {
  const text = Math.abs(value).toFixed(decimals);
  return (value < 0 ? "−" : "+") + text;
}

// ---------------------------------------------------------------------------- storage

function stored(storage, key) {
  try {
    return storage.getItem(key);
  } catch {
    return null; // storage is switched off
  }
}

function store(storage, key, value) {
  try {
    if (value === null) storage.removeItem(key);
    else storage.setItem(key, value);
    return true;
  } catch {
    return false; // full, or switched off
  }
}

// ---------------------------------------------------------------------------- requests

/** What went wrong, in words. Where it is final, trying again would end the same way. */
class Failure extends Error {
  constructor(title, detail, { status = 0, request = null, isFinal = false } = {}) {
    super(title);
    Object.assign(this, { title, detail, status, request, isFinal });
  }
}

const TITLES = {
  400: "This image cannot be scored",
  401: "A token is needed",
  403: "Not allowed",
  404: "Not found on this server",
  408: "Sending took too long",
  413: "Too large",
  415: "A kind of file that the server does not take",
  429: "The server is busy",
  500: "Something went wrong in the server",
  502: "The server cannot be reached",
  503: "The server is shutting down or starting",
  504: "Scoring took too long",
};

const DETAILS = {
  400: "Send an image in PNG, JPEG, WebP, BMP or GIF.",
  401: "Enter the token above.",
  404: "The detector may have been taken away. Reload the page.",
  408: "Try again, or over a faster connection.",
  413: "Send a smaller image.",
  415: "Send an image in PNG, JPEG, WebP, BMP or GIF.",
  429: "Try again in a while.",
  500: "Try again. If it goes on, tell whoever runs the server.",
  503: "Try again in a while.",
  504: "Try again when the server has less to do.",
};

const FINAL = [400, 401, 413, 415];

function unreachable() {
  if (navigator.onLine) {
    return new Failure("The server does not answer", "It may have stopped, or the connection was cut. Try again in a while.");
  }
  return new Failure("You are offline", "Try again when this device is connected.");
}

function asFailure(error) {
  return error instanceof Failure ? error : new Failure("Something went wrong in this page", visible(error.message));
}

async function failureOf(response) {
  const said = await response.json().catch(() => ({}));
  const { status } = response;
  const title = TITLES[status] ?? "The server answered with status " + status;
  const detail = typeof said.error === "string" ? sentence(said.error) : DETAILS[status] ?? "Try again.";
  return new Failure(title, detail, { status, request: response.headers.get("x-request-id"), isFinal: FINAL.includes(status) });
}

function sentence(text) {
  const seen = visible(text).trim();
  return seen.charAt(0).toUpperCase() + seen.slice(1) + (/[.!?…]$/.test(seen) ? "" : ".");
}

/** JSON from the server. While it is busy, waits as long as it asks, and tells `waiting` so. */
async function ask(path, options = {}, waiting = () => {}) {
  for (let attempt = 1; ; attempt++) {
    const response = await sent(path, options);
    if (response.ok) return response.json().catch(() => { throw unreachable(); });
    const failure = await failureOf(response);
    if (failure.status === 401) askForToken();
    if (failure.status !== 429 || attempt === ATTEMPTS) throw failure;
    await countDown(secondsToWait(response, attempt), options.signal, waiting);
  }
}

async function sent(path, options) {
  const headers = new Headers(options.headers);
  if (state.token) headers.set("authorization", "Bearer " + state.token);
  try {
    return await fetch(path, { ...options, headers, cache: "no-store" });
  } catch (error) {
    throw error.name === "AbortError" ? error : unreachable();
  }
}

/** From `Retry-After`, which is seconds or a date. */
function secondsToWait(response, attempt) {
  const value = response.headers.get("retry-after");
  if (value === null) return 2 ** attempt;
  const seconds = /^\d+$/.test(value.trim()) ? Number(value) : (Date.parse(value) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.max(Math.ceil(seconds), 1) : 2 ** attempt;
}

async function countDown(seconds, signal, waiting) {
  for (let left = seconds; left > 0; left--) {
    waiting(left);
    await pause(1000, signal);
  }
  waiting(0);
}

function pause(milliseconds, signal) {
  return new Promise((done, stopped) => {
    const timer = setTimeout(done, milliseconds);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      stopped(signal.reason);
    });
  });
}

/** The request that carries an image, as it is: scores depend on every pixel. */
function carrying(file, signal) {
  const type = ACCEPTED.includes(file.type) ? file.type : "application/octet-stream";
  return { method: "POST", body: file, headers: { "content-type": type }, signal };
}

// ---------------------------------------------------------------------------- images

/** Size of an image and a small copy of it; null where this browser cannot show it. */
async function preview(file) {
  const url = URL.createObjectURL(file);
  try {
    const image = new Image();
    image.src = url;
    await image.decode();
    const { naturalWidth: width, naturalHeight: height } = image;
    return width > 0 && height > 0 ? { width, height, thumbnail: thumbnailOf(image) } : null;
  } catch {
    return null;
  } finally {
    URL.revokeObjectURL(url);
  }
}

function thumbnailOf(image) {
  const { naturalWidth: width, naturalHeight: height } = image;
  const scale = Math.min(1, THUMBNAIL / Math.max(width, height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(scale * width));
  canvas.height = Math.max(1, Math.round(scale * height));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  return scale === 1 ? canvas.toDataURL("image/png") : canvas.toDataURL("image/jpeg", 0.8);
}

/** An image that is magnified into squares if it is small. */
function picture(source, alt) {
  const image = make("img", { alt });
  image.addEventListener("load", () => {
    image.classList.toggle("small", Math.max(image.naturalWidth, image.naturalHeight) <= 64);
  });
  image.src = source;
  return image;
}

function checkBytes(file) {
  const { body_bytes: most } = state.info.limits;
  if (file.size === 0) throw new Failure("An empty file", "Choose another one.", { isFinal: true });
  if (file.size <= most) return;
  const detail = "It has " + bytes(file.size) + "; the server takes " + bytes(most) + ". The page does not shrink it, because the score depends on every pixel.";
  throw new Failure(TITLES[413], detail, { isFinal: true });
}

function checkPixels({ width, height }) {
  const { pixels } = state.info.limits;
  if (width * height <= pixels) return;
  const detail = "It has " + width + " × " + height + " pixels; the server takes " + count(pixels, "pixel") + ".";
  throw new Failure(TITLES[413], detail, { isFinal: true });
}

// ---------------------------------------------------------------------------- plots

/** Multiples of 1, 2 or 5 times a power of ten, about so many, and their decimals. */
function ticks(low, high, wanted) {
  const rough = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5].find((factor) => factor * power >= 0.8 * rough) ?? 10) * power;
  const first = Math.ceil(low / step);
  const many = Math.floor(high / step) - first + 1;
  const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return Array.from({ length: Math.max(many, 0) }, (_, i) => {
    const value = (first + i) * step;
    return { value, label: value.toFixed(Math.min(decimals, 15)) };
  });
}

function line(x1, y1, x2, y2, name) {
  return svg("line", { x1, y1, x2, y2, class: name });
}

function label(x, y, anchor, text, name = "label") {
  return svg("text", { x, y, "text-anchor": anchor, class: name }, text);
}

/** A plot with a text for those who do not see it. */
function plot(width, height, description, ...content) {
  const attributes = { viewBox: "0 0 " + width + " " + height, role: "img", "aria-label": description };
  return svg("svg", attributes, ...content);
}

/** A box with a plot as wide as it is, so that texts have one size everywhere. */
function fitted(draw) {
  const box = make("div", { class: "plot" });
  let width = 0;
  const redraw = () => width > 0 && box.replaceChildren(draw(width));
  new ResizeObserver(([{ contentRect }]) => {
    if (Math.round(contentRect.width) === width) return;
    width = Math.round(contentRect.width);
    redraw();
  }).observe(box);
  return { box, redraw };
}

const BARS = { left: 12, right: 12, top: 38, bottom: 150, height: 196 };

/** The scores of the calibration with the threshold and the score of an image. */
function histogram(detector, result, width) {
  const { histogram: bins } = detector;
  const { score, threshold } = result;
  const [low, high] = reach(bins, [score, threshold]);
  const [left, right] = [BARS.left, width - BARS.right];
  const x = (value) => left + ((clamp(value, low, high) - low) / (high - low)) * (right - left);
  const [scoreText, thresholdText] = apart(score, threshold, decimalsOf(bins.upper - bins.lower));
  const isRight = score >= threshold;
  return plot(
    width,
    BARS.height,
    histogramText(detector, scoreText, thresholdText),
    svg("rect", { x: left, y: BARS.top, width: x(threshold) - left, height: BARS.bottom - BARS.top, class: "below" }),
    svg("path", { d: stairs(bins, x), class: "bars" }),
    line(left, BARS.bottom, right, BARS.bottom, "axis"),
    ...ticks(low, high, width / 90).flatMap((tick) => tickBelow(x(tick.value), BARS.bottom, tick.label)),
    label(width / 2, BARS.height - 8, "middle", scoreName(result.decides_by) + " score; high means in-distribution"),
    line(x(threshold), 20, x(threshold), BARS.bottom, "limit"),
    line(x(score), 3, x(score), BARS.bottom, "mark"),
    svg("circle", { cx: x(score), cy: BARS.bottom, r: 4.5, class: "pointer" }),
    beside(x(threshold), 29, width, !isRight, "threshold " + thresholdText, "label of-limit"),
    beside(x(score), 12, width, isRight, beyond(score, low, high, "this image " + scoreText), "label of-mark"),
  );
}

function histogramText({ histogram: { lower, upper }, calibrated_on: { in_images } }, score, threshold) {
  const [from, to] = [lower, upper].map((end) => end.toFixed(decimalsOf(upper - lower)));
  return "Histogram of the scores of " + count(in_images, "calibration image") + ", from " + from + " to " + to + ". Threshold: " + threshold + ". This image: " + score + ".";
}

/** The ends of the axis: those of the bins, with the values inside as far as the bins stay readable. */
function reach(bins, values) {
  const width = bins.upper - bins.lower || Math.abs(bins.upper) || 1;
  const low = Math.max(Math.min(bins.lower, ...values), bins.lower - width);
  const high = Math.min(Math.max(bins.upper, ...values), bins.upper + width);
  return [low - 0.03 * width, high + 0.03 * width];
}

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

function beyond(value, low, high, text) {
  if (value < low) return "◂ " + text;
  return value > high ? text + " ▸" : text;
}

function stairs({ lower, upper, counts }, x) {
  const highest = Math.max(...counts, 1);
  const edge = (i) => x(lower + ((upper - lower) * i) / counts.length).toFixed(2);
  const top = (number) => (BARS.bottom - (number / highest) * (BARS.bottom - BARS.top - 4)).toFixed(2);
  const steps = counts.map((number, i) => "V" + top(number) + "H" + edge(i + 1));
  return "M" + edge(0) + " " + BARS.bottom + steps.join("") + "V" + BARS.bottom + "Z";
}

function tickBelow(x, bottom, text) {
  return [line(x, bottom, x, bottom + 4, "axis"), label(x, bottom + 17, "middle", text)];
}

/** A name beside a line, on the side that is wanted if it has room there. */
function beside(x, y, width, toRight, text, name) {
  const needed = 7 * text.length + 8;
  const right = toRight ? width - x > needed : x < needed;
  return label(right ? x + 6 : x - 6, y, right ? "start" : "end", text, name);
}

// ---------------------------------------------------------------------------- one decision

function icon(isIn) {
  const shape = isIn
    ? [svg("circle", { cx: 10, cy: 10, r: 9, class: "shape" }), svg("path", { d: "M5.8 10.4l2.9 2.9 5.5-6", class: "sign" })]
    : [svg("path", { d: "M10 .8 19.2 10 10 19.2.8 10z", class: "shape" }), svg("path", { d: "M10 5.6v5.2M10 13.4v1.2", class: "sign" })];
  return svg("svg", { viewBox: "0 0 20 20", class: "icon " + (isIn ? "is-in" : "is-out"), "aria-hidden": "true" }, ...shape);
}

function decision(isIn) {
  return make("span", { class: "decision" }, icon(isIn), isIn ? IN : OUT);
}

/** What the decision says of the predicted class. */
function meaning(result) {
  const named = make("strong", {}, classOf(result));
  return result.is_in_distribution
    ? make("p", {}, "The network predicts ", named, ".")
    : make("p", {}, "The network predicts ", named, ", but the image is unlike those of the calibration.");
}

/** Score, percentile and p-value, each with what it says. */
function numbers(detector, result) {
  const [score, threshold] = apart(result.score, result.threshold, decimalsOf(detector.histogram.upper - detector.histogram.lower));
  const relation = result.is_in_distribution ? "not below " : "below ";
  const rows = [["Score", score, relation + (detector.thresholds_by_class ? "the threshold of its class, " : "the threshold, ") + threshold]];
  if (Number.isFinite(result.percentile)) {
    rows.push(["Percentile", result.percentile.toFixed(1), "% of calibration images scored no higher"]);
  }
  if (Number.isFinite(result.p_value)) {
    const share = trimmed(100 * result.p_value, result.p_value < 0.1 ? 2 : 0);
    rows.push(["p-value", result.p_value.toPrecision(2), "at most " + share + " % of in-distribution images are expected to score so low"]);
  }
  for (const [name, value] of Object.entries(result.scores)) {
    if (name !== result.decides_by) rows.push(["Other score", Number(value).toPrecision(4), scoreName(name) + "; it does not decide"]);
  }
  return make("dl", { class: "numbers" }, ...rows.map(numberRow));
}

function numberRow([name, value, phrase]) {
  const shown = make("dd", {}, make("b", {}, value), " ", make("span", { class: "note" }, phrase));
  return make("div", {}, make("dt", {}, name), shown);
}

function explained(failure, again) {
  const request = failure.request && failure.status >= 500 ? make("p", { class: "note" }, "Request ", make("code", {}, visible(failure.request))) : null;
  return make(
    "div",
    { class: "failure" },
    make("p", {}, make("strong", {}, failure.title)),
    make("p", {}, failure.detail),
    request,
    again && !failure.isFinal ? button("Try again", again) : null,
  );
}

/** An image on the page, from its choice to its decision. */
class Card {
  constructor(file) {
    this.file = file;
    this.name = visible(file.name || "image");
    this.removed = false;
    this.thumb = make("div", { class: "thumb" });
    this.body = make("div", { class: "body" });
    this.below = make("div", { class: "wide" });
    this.element = make("li", { class: "card" }, this.thumb, this.body, this.below);
    this.wait("Waiting");
  }

  wait(text) {
    this.settled = false;
    this.show(make("p", { class: "waiting" }, text + " …"));
  }

  heading() {
    return make("p", { class: "file note" }, make("bdi", {}, this.name));
  }

  show(...content) {
    this.body.replaceChildren(this.heading(), ...content);
    this.below.replaceChildren();
  }

  /** Scores the image, instead of what was under way. */
  async score() {
    this.run?.abort();
    const { signal } = (this.run = new AbortController());
    this.wait("Scoring");
    try {
      await this.look();
      checkBytes(this.file);
      if (this.preview) checkPixels(this.preview);
      this.decided(await this.answer(signal), signal);
    } catch (failure) {
      if (!signal.aborted) this.failed(failure);
    }
  }

  remove() {
    this.removed = true;
    this.run?.abort();
  }

  async look() {
    if (this.preview !== undefined) return;
    this.preview = await preview(this.file);
    const image = this.preview ? picture(this.preview.thumbnail, "") : make("span", { class: "note" }, "no preview");
    this.thumb.replaceChildren(image);
  }

  async answer(signal) {
    const path = "v1/score?detector=" + encodeURIComponent(state.detector.name);
    const busy = (left) => this.wait(left ? "The server is busy. Trying again in " + count(left, "second") : "Scoring");
    const answer = await ask(path, carrying(this.file, signal), busy);
    if (answer.detector.version !== state.detector.version) await loadInfo();
    const [result] = answer.results;
    if (result.error) throw new Failure(TITLES[400], sentence(result.error), { status: 400, isFinal: true });
    return result;
  }

  decided(result, signal) {
    signal.throwIfAborted();
    this.settled = true;
    this.failure = null;
    this.result = result;
    const { detector } = state;
    const { box } = fitted((width) => histogram(detector, result, width));
    const caption = make("figcaption", {}, "Scores of the " + count(detector.calibrated_on.in_images, "calibration image") + ", all in-distribution");
    const words = [this.heading(), make("h3", {}, decision(result.is_in_distribution)), meaning(result), numbers(detector, result)];
    this.body.replaceChildren(make("div", { class: "columns" }, make("div", {}, ...words), make("figure", {}, box, caption)));
    this.below.append(new Explorer(this.file, detector, signal).element);
    remember(this);
  }

  failed(failure) {
    this.settled = true;
    this.result = null;
    this.failure = asFailure(failure);
    this.show(explained(this.failure, () => this.again()));
  }

  again() {
    this.wait("Waiting");
    giveFocus(this.element);
    enqueue([this]);
  }

  /** In one sentence, for those who do not see the card. */
  spoken() {
    if (this.failure) return this.name + ": " + this.failure.title + ". " + this.failure.detail;
    const { result } = this;
    const verdict = result.is_in_distribution ? IN : OUT;
    return this.name + ": " + verdict + ". Predicted class: " + classOf(result) + ". Score " + result.score.toPrecision(6) + ", threshold " + result.threshold.toPrecision(6) + ".";
  }
}

// ---------------------------------------------------------------------------- T and ε

const TRAIL = { left: 64, right: 24, top: 18, bottom: 140, height: 180 };

/** What the slider of the temperature stops at: 50 places for each power of ten. */
function temperatures(calibrated) {
  const ends = [Math.min(0, Math.floor(Math.log10(calibrated))), Math.max(4, Math.ceil(Math.log10(calibrated)))];
  return stops("temperature", "T", ends, 0.02, Math.log10(calibrated), (place) => Number((10 ** place).toPrecision(3)), calibrated);
}

function magnitudes(calibrated) {
  const high = calibrated > 0.02 ? Math.min(1, 2 * calibrated) : 0.02;
  const step = high / 200;
  return stops("magnitude", "ε", [0, high], step, calibrated, (place) => Number(place.toPrecision(3)), calibrated);
}

/** The stop that is nearest to the calibrated value is this value, exactly. */
function stops(key, symbol, [low, high], step, calibratedPlace, valueAt, calibrated) {
  const last = Math.round((high - low) / step);
  const home = Math.round((calibratedPlace - low) / step);
  const value = (stop) => (stop === home ? calibrated : valueAt(low + stop * step));
  const share = (of) => ((key === "temperature" ? Math.log10(of) : of) - low) / (high - low);
  return { key, symbol, last, home, value, share, low, high };
}

/** How the score of an image moves with the setting, and what ODIN does to the image. */
class Explorer {
  constructor(file, detector, signal) {
    this.file = file;
    this.detector = detector;
    this.signal = signal;
    this.points = [];
    this.axes = [
      new Axis(this, "Temperature", temperatures(detector.setting.temperature)),
      new Axis(this, "Magnitude", magnitudes(detector.setting.magnitude)),
    ];
    this.outcome = make("div", { class: "outcome" });
    this.home = button("Back to the calibrated setting", () => this.goHome());
    this.pictures = make("div", { class: "pictures" });
    this.content = make(
      "div",
      {},
      make("div", { class: "apart" }, this.outcome, this.home),
      make("div", { class: "axes" }, ...this.axes.map((axis) => axis.element)),
      this.pictures,
    );
    this.element = make("details", { class: "explore" }, make("summary", {}, "How the score moves with T and ε, and what ODIN does to the image"), this.content);
    this.element.addEventListener("toggle", () => this.opened());
  }

  opened() {
    if (this.element.open && this.points.length === 0) this.update();
  }

  get setting() {
    return Object.fromEntries(this.axes.map((axis) => [axis.stops.key, axis.value]));
  }

  get isCalibrated() {
    return this.axes.every((axis) => axis.isHome);
  }

  goHome() {
    this.axes.forEach((axis) => axis.goHome());
    this.update();
  }

  /** After a slider moved: the last of several moves is asked for. */
  moved() {
    clearTimeout(this.timer);
    this.request?.abort();
    this.request = null;
    this.content.setAttribute("aria-busy", "true");
    this.axes.forEach((axis) => axis.draw());
    this.timer = setTimeout(() => this.update(), DEBOUNCE);
  }

  async update() {
    clearTimeout(this.timer);
    this.request?.abort();
    const request = (this.request = new AbortController());
    this.content.setAttribute("aria-busy", "true");
    try {
      const answer = await this.at(this.setting, request.signal, (left) => this.wait(left));
      if (this.request === request) this.answered(answer);
    } catch (failure) {
      if (this.request === request) this.failed(failure);
    }
  }

  wait(left) {
    if (left > 0) this.outcome.replaceChildren(make("p", { class: "waiting" }, "The server is busy. Trying again in " + count(left, "second") + " …"));
  }

  async at(setting, signal, busy) {
    const query = new URLSearchParams({ detector: this.detector.name, ...setting });
    const both = AbortSignal.any([this.signal, signal]);
    const answer = await ask("v1/explore?" + query, carrying(this.file, both), busy);
    this.keep({ ...setting, score: followed(answer) });
    return answer;
  }

  keep(point) {
    const same = ({ temperature, magnitude }) => temperature === point.temperature && magnitude === point.magnitude;
    this.points = [...this.points.filter((other) => !same(other)), point];
  }

  answered(answer) {
    this.content.removeAttribute("aria-busy");
    this.outcome.replaceChildren(...this.said(answer));
    this.pictures.replaceChildren(...shownPictures(answer, this.setting));
    this.axes.forEach((axis) => axis.draw());
  }

  failed(failure) {
    if (this.signal.aborted || failure.name === "AbortError") return;
    this.content.removeAttribute("aria-busy");
    this.outcome.replaceChildren(explained(asFailure(failure), () => this.again()));
  }

  again() {
    this.element.querySelector("summary").focus();
    this.update();
  }

  said(answer) {
    const decimals = this.decimals(answer);
    const name = scoreName("odin" in answer.scores ? "odin" : this.detector.decides_by) + " score ";
    const value = make("output", {}, followed(answer).toFixed(decimals));
    const line = make("p", {}, settingText(this.setting) + ": " + name, value, ", predicted ", make("b", {}, classOf(answer)));
    return [line, make("p", { class: "note" }, this.standing(decimals)), make("p", {}, this.effect(answer, decimals))];
  }

  /** Whether there is a decision at this setting. */
  standing(decimals) {
    const { decides_by: by, setting, threshold, thresholds_by_class: several } = this.detector;
    const calibrated = "the calibrated setting, " + settingText(setting);
    if (by !== "odin") return "The detector decides by " + scoreName(by) + ", which T and ε do not move. It was calibrated at " + settingText(setting) + ".";
    if (this.isCalibrated) return "This is " + calibrated + ". The decision above is for it.";
    return "No decision: the " + (several ? "thresholds hold" : "threshold, " + threshold.toFixed(decimals) + ", holds") + " only at " + calibrated + ".";
  }

  decimals(answer) {
    const moved = answer.unperturbed === null ? 0 : Math.abs(followed(answer) - answer.unperturbed);
    const { upper, lower } = this.detector.histogram;
    const range = this.detector.decides_by === "odin" ? upper - lower : 0;
    return Math.min(Math.max(range > 0 ? decimalsOf(range) : 6, moved > 0 ? decimalsOf(moved) - 2 : 0), 10);
  }

  effect({ scores, unperturbed }, decimals) {
    if (this.setting.magnitude === 0) return "At ε = 0 nothing is perturbed.";
    if (!("odin" in scores)) return "";
    return "The perturbation moved it by " + signed(scores.odin - unperturbed, decimals) + ", from " + unperturbed.toFixed(decimals) + ".";
  }
}

/** The score that T and ε move: ODIN's, where it is computed, whichever decides. */
function followed({ scores, score }) {
  return scores.odin ?? score;
}

function shownPictures({ pictures }, { magnitude }) {
  const shown = [
    [pictures.input, "What the network sees"],
    [pictures.perturbed, "Perturbed by ε = " + magnitude],
    [pictures.gradient_sign, "The perturbation’s sign: orange brighter, blue darker, white none"],
    [pictures.gradient_size, "Size of the gradient: the brighter, the larger"],
  ];
  const figures = shown.filter(([source]) => isPicture(source)).map(([source, caption]) => make("figure", {}, picture(source, caption), make("figcaption", {}, caption)));
  return figures.length > 0 ? figures : [make("p", { class: "note" }, "What the network takes is not a picture, so that none is shown.")];
}

function isPicture(source) {
  return typeof source === "string" && source.startsWith("data:image/");
}

let axes = 0;

/** A slider with the scores that were seen along it. */
class Axis {
  constructor(explorer, name, places) {
    this.explorer = explorer;
    this.name = name;
    this.stops = places;
    const id = "axis" + axes++;
    this.range = make("input", { type: "range", id, min: 0, max: places.last, step: 1, value: places.home });
    this.range.addEventListener("input", () => this.moved());
    this.output = make("b");
    this.trace = button("", () => this.toggleTrace());
    this.nameTrace("Draw the curve");
    this.plot = fitted((width) => trailPicture(this, width));
    const named = make("label", { for: id }, name + " " + places.symbol + " = ", this.output);
    this.element = make("div", {}, make("div", { class: "apart" }, named, this.trace), this.range, this.plot.box);
    this.draw();
  }

  get value() {
    return this.stops.value(Number(this.range.value));
  }

  get isHome() {
    return Number(this.range.value) === this.stops.home;
  }

  goHome() {
    this.range.value = this.stops.home;
    this.draw();
  }

  moved() {
    this.tracing?.abort();
    this.explorer.moved();
  }

  get other() {
    return this.explorer.axes.find((axis) => axis !== this);
  }

  /** The scores that were seen at one value of the other slider, in order. */
  trailAt(value) {
    const { key } = this.stops;
    const other = this.other.stops.key;
    return this.explorer.points.filter((point) => point[other] === value).sort((a, b) => a[key] - b[key]);
  }

  /** The trails at other values of the other slider. */
  get earlier() {
    const values = new Set(this.explorer.points.map((point) => point[this.other.stops.key]));
    values.delete(this.other.value);
    return [...values].map((value) => this.trailAt(value)).filter((trail) => trail.length > 2);
  }

  toggleTrace() {
    if (this.tracing) this.tracing.abort();
    else this.drawCurve();
  }

  async drawCurve() {
    const tracing = (this.tracing = new AbortController());
    this.nameTrace("Stop");
    try {
      for (const stop of this.coarse()) {
        await this.explorer.at({ ...this.explorer.setting, [this.stops.key]: this.stops.value(stop) }, tracing.signal);
        this.draw();
      }
    } catch (failure) {
      this.explorer.failed(failure);
    }
    this.tracing = null;
    this.nameTrace("Draw the curve");
  }

  nameTrace(text) {
    this.trace.replaceChildren(text, make("span", { class: "unseen" }, " over " + this.stops.symbol));
  }

  /** Thirteen stops over the whole range. */
  coarse() {
    return Array.from({ length: 13 }, (_, i) => Math.round((i * this.stops.last) / 12));
  }

  draw() {
    this.output.textContent = String(this.value);
    this.range.setAttribute("aria-valuetext", this.stops.symbol + " = " + this.value);
    this.plot.redraw();
  }
}

/** The trail at the setting of the other slider, over those at its earlier ones. */
function trailPicture(axis, width) {
  const { stops: places } = axis;
  const trail = axis.trailAt(axis.other.value);
  const { earlier } = axis;
  const [left, right] = [TRAIL.left, width - TRAIL.right];
  const [low, high] = trailReach([trail, ...earlier].flat(), axis.explorer.detector);
  const x = (value) => left + places.share(value) * (right - left);
  const y = (score) => TRAIL.bottom - ((score - low) / (high - low)) * (TRAIL.bottom - TRAIL.top);
  const curve = (points, name) => svg("path", { d: "M" + points.map((point) => x(point[places.key]).toFixed(2) + " " + y(point.score).toFixed(2)).join("L"), class: name });
  const home = x(places.value(places.home));
  return plot(
    width,
    TRAIL.height,
    trailText(axis, trail, low, high),
    ...ticks(low, high, 3).flatMap((tick) => [line(left, y(tick.value), right, y(tick.value), "grid"), label(left - 8, y(tick.value) + 4, "end", tick.label)]),
    line(left, TRAIL.bottom, right, TRAIL.bottom, "axis"),
    ...xTicks(places).flatMap((tick) => tickBelow(x(tick.value), TRAIL.bottom, tick.label)),
    line(home, TRAIL.top, home, TRAIL.bottom, "limit"),
    label(home, TRAIL.top - 6, "middle", "calibrated"),
    ...earlier.map((points) => curve(points, "earlier")),
    ...(trail.length > 1 ? [curve(trail, "curve")] : []),
    ...trail.map((point) => svg("circle", { cx: x(point[places.key]), cy: y(point.score), r: 2.5, class: "seen" })),
    ...nowMark(trail.find((point) => point[places.key] === axis.value), x(axis.value), y),
    label((left + right) / 2, TRAIL.height - 6, "middle", "score at " + axis.other.stops.symbol + " = " + axis.other.value + (earlier.length > 0 ? "; grey: at earlier ones" : "")),
  );
}

/** Where the slider is: a ring once the score is known. */
function nowMark(point, x, y) {
  return point ? [svg("circle", { cx: x, cy: y(point.score), r: 5.5, class: "now" })] : [line(x, TRAIL.top, x, TRAIL.bottom, "pending")];
}

/** From the lowest to the highest score, and no narrower than the histogram of ODIN's scores. */
function trailReach(points, { decides_by: by, histogram: { lower, upper } }) {
  const scores = points.map((point) => point.score);
  const [low, high] = scores.length > 0 ? [Math.min(...scores), Math.max(...scores)] : [lower, upper];
  const least = (by === "odin" && upper - lower) || 0.01 * Math.abs(high) || 1;
  const air = Math.max(0.08 * (high - low), (least - (high - low)) / 2);
  return [low - air, high + air];
}

function xTicks({ key, low, high }) {
  if (key === "magnitude") return ticks(low, high, 4);
  return Array.from({ length: high - low + 1 }, (_, i) => ({ value: 10 ** (low + i), label: String(Number((10 ** (low + i)).toPrecision(1))) }));
}

function trailText(axis, trail, low, high) {
  const { key, symbol } = axis.stops;
  const decimals = decimalsOf(high - low);
  const said = trail.slice(0, 20).map((point) => symbol + " = " + point[key] + ": " + point.score.toFixed(decimals));
  return "Scores against " + symbol + ", at " + axis.other.stops.symbol + " = " + axis.other.value + ". " + (said.join("; ") || "None yet") + ".";
}

// ---------------------------------------------------------------------------- all decisions

const queue = [];
let working = 0;
let finished = []; // since something was last announced

function enqueue(cards) {
  queue.push(...cards);
  summarise();
  while (working < WORKERS && queue.length > 0) work();
}

async function work() {
  working++;
  while (queue.length > 0) {
    const card = queue.shift();
    if (!card.removed) await card.score();
    finished.push(card);
    summarise();
  }
  working--;
  if (working === 0) announce();
}

function tally() {
  const done = state.cards.filter((card) => card.settled);
  const decided = done.filter((card) => card.result);
  const ins = decided.filter((card) => card.result.is_in_distribution).length;
  return { all: state.cards.length, done: done.length, ins, outs: decided.length - ins, failed: done.length - decided.length };
}

function summarise() {
  const { all, done, ins, outs, failed } = tally();
  show(byId("results"), all > 0);
  show(byId("summary"), all > 1);
  const parts = [ins + " in-distribution", outs + " out-of-distribution"];
  if (failed > 0) parts.push(failed + " without a decision");
  byId("summary").textContent = done < all ? done + " of " + count(all, "image") + " decided" : count(all, "image") + ": " + parts.join(", ");
}

/** Tells those who do not see it what came out, once all is done. */
function announce() {
  const [first, ...others] = finished.filter((card) => card.settled && !card.removed);
  finished = [];
  if (first) byId("status").textContent = others.length > 0 ? byId("summary").textContent : first.spoken();
}

function take(files) {
  const chosen = [...files];
  if (chosen.length === 0 || !state.detector) return;
  const { images } = state.info.limits;
  tooMany(chosen.length, images);
  const cards = chosen.slice(0, images).map((file) => new Card(file));
  state.cards = [...cards, ...state.cards];
  byId("cards").prepend(...cards.map((card) => card.element));
  byId("status").textContent = "Scoring " + count(cards.length, "image");
  enqueue(cards);
}

function tooMany(chosen, most) {
  if (chosen <= most) return clearNotice();
  notice(new Failure("Too many images at once", "The first " + most + " of " + chosen.toLocaleString("en") + " were taken. Send the others after these."));
}

function removeAll() {
  state.cards.forEach((card) => card.remove());
  state.cards = [];
  queue.length = 0;
  byId("cards").replaceChildren();
  byId("choose").focus();
  summarise();
  byId("status").textContent = "All removed";
}

// ---------------------------------------------------------------------------- history

/** Decisions that were kept, newest first; what is not of the right form is left out. */
function decisions() {
  try {
    const kept = JSON.parse(stored(localStorage, HISTORY) ?? "[]");
    return Array.isArray(kept) ? kept.filter(isDecision).slice(0, KEPT) : [];
  } catch {
    return [];
  }
}

function isDecision(kept) {
  return kept !== null && typeof kept === "object" && Number.isFinite(kept.score) && Number.isFinite(kept.threshold) && typeof kept.isIn === "boolean" && !Number.isNaN(Date.parse(kept.at));
}

function remember({ name, result, preview: seen }) {
  const { name: detector, version } = state.detector;
  const kept = {
    at: new Date().toISOString(), name, detector, version, label: classOf(result), score: result.score,
    threshold: result.threshold, isIn: result.is_in_distribution, thumbnail: seen?.thumbnail ?? null,
  };
  const all = [kept, ...decisions()].slice(0, KEPT);
  // Without the thumbnails there may be room.
  const bare = () => all.map((one) => ({ ...one, thumbnail: null }));
  if (!store(localStorage, HISTORY, JSON.stringify(all))) store(localStorage, HISTORY, JSON.stringify(bare()));
  showHistory();
}

function showHistory() {
  const kept = decisions();
  show(byId("history"), kept.length > 0);
  byId("history-note").textContent = "Kept in this browser only, with small copies of the images: the last " + KEPT + ".";
  byId("decisions").replaceChildren(...kept.map(row));
}

function row({ at, name, detector, label: predicted, score, threshold, isIn, thumbnail }) {
  const [scoreText, thresholdText] = apart(score, threshold, 6);
  const time = new Date(at);
  const image = isPicture(thumbnail) ? picture(thumbnail, "") : null;
  return make(
    "li",
    {},
    make("div", { class: "thumb" }, image),
    make("div", { class: "what" }, decision(isIn), make("span", {}, visible(predicted))),
    make("div", { class: "note" }, make("bdi", {}, visible(name)), make("span", {}, "score " + scoreText + ", threshold " + thresholdText), make("span", {}, "by ", make("bdi", {}, visible(detector)), ", ", make("time", { datetime: time.toISOString() }, shortTime(time)))),
  );
}

function shortTime(time) {
  const today = time.toDateString() === new Date().toDateString();
  return time.toLocaleString(undefined, today ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" });
}

function clearHistory() {
  store(localStorage, HISTORY, null);
  showHistory();
  byId("choose").focus();
  byId("status").textContent = "Recent decisions cleared";
}

// ---------------------------------------------------------------------------- notices and token

function notice(failure, again) {
  byId("notice").replaceChildren(explained(failure, again));
  show(byId("notice"));
}

function clearNotice() {
  show(byId("notice"), false);
  byId("notice").replaceChildren();
}

function askForToken() {
  if (!byId("token").hidden && !state.token) return;
  byId("token-title").textContent = state.token ? "The server refused this token" : "This server asks for a token";
  state.token = null;
  store(sessionStorage, TOKEN, null);
  show(byId("token"));
  byId("token-field").value = "";
  byId("token-field").focus();
}

async function useToken(event) {
  event.preventDefault();
  state.token = byId("token-field").value.trim();
  if (!(await loadInfo())) return;
  store(sessionStorage, TOKEN, state.token);
  show(byId("token"), false);
  byId("choose").focus();
  enqueue(state.cards.filter((card) => card.failure?.status === 401));
}

// ---------------------------------------------------------------------------- the detector

/** Asks what is served; false where that failed. */
async function loadInfo() {
  try {
    state.info = await ask("info");
    clearNotice();
    showInfo();
    return true;
  } catch (failure) {
    if (failure.status !== 401) notice(failure, loadInfo);
    return false;
  }
}

function showInfo() {
  const { info } = state;
  const named = info.detectors.find((detector) => detector.name === state.detector?.name);
  const options = info.detectors.map(({ name }) => make("option", { value: name }, visible(name)));
  byId("detector").replaceChildren(...options);
  show(byId("detectors"), options.length > 1);
  byId("version").textContent = info.name + " " + info.version;
  byId("limits").textContent = limitsText(info.limits);
  useDetector(named ?? info.detectors[0]);
}

function limitsText({ body_bytes: most, pixels }) {
  return "PNG, JPEG, WebP, BMP or GIF, up to " + bytes(most) + " and " + trimmed(pixels / 1e6, 1) + " megapixels. They go to this server only, as they are.";
}

function useDetector(detector) {
  state.detector = detector;
  byId("choose").disabled = byId("photograph").disabled = false;
  byId("detector").value = detector.name;
  byId("facts").replaceChildren(facts(detector));
  byId("command").textContent = command(detector);
  show(byId("about"));
  const { height, width } = detector.input;
  byId("size").textContent = detector.resizes ? "" : "They must have exactly " + width + " × " + height + " pixels.";
}

/** Another detector decides on what is on the page, too. */
function changeDetector() {
  const { value } = byId("detector");
  useDetector(state.info.detectors.find((detector) => detector.name === value));
  state.cards.forEach((card) => card.wait("Waiting"));
  enqueue(state.cards.filter((card) => !queue.includes(card)));
}

function facts(detector) {
  const { model, input, calibrated_on: calibration } = detector;
  const classes = detector.class_names ? ": " + detector.class_names.map(visible).join(", ") : "";
  const rows = [
    ["detector", visible(detector.name) + ", version " + visible(detector.version)],
    ["network", visible(model.architecture) + ", SHA-256 " + visible(model.sha256)],
    ["classes", model.classes + classes],
    ["decides by", scoreName(detector.decides_by)],
    ["ODIN’s setting", settingText(detector.setting)],
    ["threshold", "in-distribution from " + detector.threshold + " up" + (detector.thresholds_by_class ? "; some classes have their own" : "")],
    ["calibrated on", visible(calibration.in_dataset) + ", " + count(calibration.in_images, "image")],
    ["input", input.channels + " × " + input.height + " × " + input.width + (detector.resizes ? "; other images are resized" : "; other sizes are refused")],
  ];
  const line = ([name, value]) => make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, value));
  return make("table", { class: "facts" }, make("tbody", {}, ...rows.map(line)));
}

function command(detector) {
  const url = new URL("v1/score", location.href);
  url.searchParams.set("detector", detector.name);
  const token = state.token ? "-H \"Authorization: Bearer $TOKEN\" " : "";
  return "curl " + token + "-F image=@photo.jpg '" + url.href.replaceAll("'", "%27") + "'";
}

// ---------------------------------------------------------------------------- events

function chooseWith(input) {
  input.addEventListener("change", () => {
    take(input.files);
    input.value = "";
  });
  return () => input.click();
}

function listenForDrops() {
  const over = (is) => byId("choose").classList.toggle("over", is);
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    over(true);
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget === null && over(false));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    over(false);
    take(filesOf(event.dataTransfer));
  });
}

/** Without folders, which cannot be sent. */
function filesOf(data) {
  const isFolder = (item) => item.kind === "file" && item.webkitGetAsEntry?.()?.isDirectory;
  if (![...data.items].some(isFolder)) return data.files;
  notice(new Failure("A folder cannot be sent", "Choose the images in it."));
  return [...data.items].filter((item) => item.kind === "file" && !isFolder(item)).map((item) => item.getAsFile());
}

function listen() {
  byId("choose").addEventListener("click", chooseWith(byId("files")));
  byId("photograph").addEventListener("click", chooseWith(byId("camera")));
  listenForDrops();
  document.addEventListener("paste", (event) => take(event.clipboardData?.files ?? []));
  byId("remove").addEventListener("click", removeAll);
  byId("clear").addEventListener("click", clearHistory);
  byId("token").addEventListener("submit", useToken);
  byId("detector").addEventListener("change", changeDetector);
  window.addEventListener("storage", (event) => event.key === HISTORY && showHistory());
}

listen();
showHistory();
loadInfo();
