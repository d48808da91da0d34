"use strict";
// The threshold of a histogram: counts and rates at each of its stops. No character here is one
// that XML would take for markup.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  // Ties to even, as in the tables.
  const percent = (share) => {
    const value = 100 * share;
    return value % 1 === 0.25 ? Math.floor(value) + ".2%" : value.toFixed(1) + "%";
  };
  const line = (svg, heights) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", "line");
    made.setAttribute("y1", heights[0]);
    made.setAttribute("y2", heights[1]);
    made.setAttribute("class", "threshold");
    return svg.appendChild(made);
  };
  document.querySelectorAll("[data-slider]").forEach((box) => {
    const { stops, sizes, values, places, heights } = data.sliders[Number(box.dataset.slider)];
    const [range, reset] = [box.querySelector("input"), box.querySelector("button")];
    const start = range.value;
    const mark = line(box.querySelector("svg"), heights);
    const put = (of, text) => { box.querySelector('[data-of="' + of + '"]').textContent = text; };
    const show = () => {
      const [threshold, tp, fp] = stops[Number(range.value)];
      const [tpr, fpr] = [tp / sizes[0], fp / sizes[1]];
      const way = (threshold - values[0]) / (values[1] - values[0]);
      const x = places[0] + way * (places[1] - places[0]);
      mark.setAttribute("x1", x);
      mark.setAttribute("x2", x);
      range.setAttribute("aria-valuetext", threshold + ", TPR " + percent(tpr) + ", FPR " + percent(fpr));
      put("threshold", threshold);
      put("tp", tp);
      put("fn", sizes[0] - tp);
      put("fp", fp);
      put("tn", sizes[1] - fp);
      put("tpr", "TPR " + percent(tpr));
      put("fpr", "FPR " + percent(fpr));
      put("precision", percent(tp / (tp + fp)));
      put("error", percent(((sizes[0] - tp) * sizes[1] + fp * sizes[0]) / (2 * sizes[0] * sizes[1])));
    };
    range.addEventListener("input", show);
    reset.hidden = false;
    reset.addEventListener("click", () => { range.value = start; show(); });
    show();
  });
})();
