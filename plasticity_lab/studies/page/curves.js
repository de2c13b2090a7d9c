// The curves of the page: choosing a metric, switching arms, zooming, reading values. Nothing is
// drawn before `start`.

const data = JSON.parse(document.getElementById("data").textContent);
const state = { tag: null, off: new Set(), range: null, log: false, seeds: false, at: null };
const part = (id) => document.getElementById(id);
let plot = null;

function curvesOf(tag) {
  return data.curves[tag].map((curve) => ({
    ...curve, number: curve.arm, arm: data.arms[curve.arm], x: data.moments[curve.moments],
  }));
}

function shownCurves() {
  return curvesOf(state.tag).filter((curve) => !state.off.has(curve.number));
}

function axisText() {
  return data.tags.find(({ tag }) => tag === state.tag).axis.replaceAll("\n", ", ");
}

function view() {
  return { curves: shownCurves(), range: state.range, log: state.log, seeds: state.seeds, time: data.time };
}

function redraw() {
  const width = Math.max(260, part("plot").clientWidth);
  plot = drawPlot(view(), width, Math.round(Math.min(430, Math.max(260, width * 0.5))));
  plot.svg.setAttribute("aria-hidden", "true");
  part("plot").replaceChildren(plot.svg);
  part("axis-name").textContent = axisText();
  part("curves-caption").textContent = caption();
  readValues();
}

// What is drawn, of how many seeds.
function caption() {
  const counts = shownCurves().flatMap((curve) => curve.n).filter((count) => count > 0);
  const [low, high] = ends(counts);
  const seeds = low === high ? `${low} ${low === 1 ? "seed" : "seeds"}` : `${low} to ${high} seeds`;
  if (!counts.length) return "All arms are switched off.";
  let text = `${state.tag}. Line: mean of n = ${seeds} of each arm`;
  if (high > 1) text += state.seeds ? "; thin lines: single seeds" : "; band: ± one standard deviation over seeds";
  if (data.arms.some((arm) => arm.control)) text += "; black: the control";
  if (data.dashes) text += `; dashes: ${data.dashes}`;
  return `${text}. ${data.thinned}`;
}

function legend() {
  const drawn = new Set(curvesOf(state.tag).map((curve) => curve.number));
  const all = htmlElement("button", { type: "button", class: "all-arms" }, "all");
  all.addEventListener("click", () => switchArms(new Set()));
  const entries = data.arms.flatMap((arm, number) => {
    if (!drawn.has(number)) return [];
    const swatch = svgElement("svg", { class: "swatch", width: 28, height: 12, "aria-hidden": "true" });
    fillSwatch(swatch, arm);
    const value = htmlElement("span", { class: "value", "data-value": number });
    const isOn = !state.off.has(number);
    const main = htmlElement("button", { type: "button", "data-switch": number, "aria-pressed": isOn },
      swatch, ` ${arm.name} `, value);
    main.addEventListener("click", () => {
      const off = new Set(state.off);
      if (!off.delete(number)) off.add(number);
      switchArms(off);
    });
    const only = htmlElement("button", { type: "button", "aria-label": `only ${arm.name}` }, "only");
    only.addEventListener("click", () => {
      switchArms(new Set(data.arms.map((_, other) => other).filter((other) => other !== number)));
    });
    const entry = htmlElement("span", { class: "entry" }, main, only);
    if (!isOn) entry.setAttribute("data-off", "");
    return [entry];
  });
  part("legend").replaceChildren(all, ...entries);
}

function switchArms(off) {
  const focused = document.activeElement?.getAttribute("data-switch");
  state.off = off;
  legend();
  redraw();
  if (focused) part("legend").querySelector(`[data-switch="${focused}"]`)?.focus();
}

// The values nearest to the pointer, in the legend.
function readValues() {
  part("plot").querySelectorAll(".pointer").forEach((element) => element.remove());
  part("legend").querySelectorAll(".value").forEach((element) => { element.textContent = ""; });
  part("readout").textContent = "";
  if (state.at === null) return;
  const x = plot.across(state.at);
  plot.svg.append(svgElement("line", { class: "pointer", x1: x, x2: x, y1: MARGIN.top, y2: plot.bottom,
    stroke: "currentColor", "stroke-opacity": 0.5 }));
  for (const curve of shownCurves()) {
    const place = nearest(curve.x, state.at);
    if (isOutside(curve.x, state.at)) continue;
    const mean = curve.mean[place];
    const text = valueText(mean, curve.sd[place]);
    part("legend").querySelector(`[data-value="${curve.number}"]`).textContent = text;
    if (mean !== null && plot.up(mean) !== null) {
      const marker = markerOf(curve.arm, plot.across(curve.x[place]), plot.up(mean));
      marker.classList.add("pointer");
      plot.svg.append(marker);
    }
  }
  part("readout").textContent = `${data.time} ${numberText(state.at)}`;
}

// Whether a curve has not begun, or has ended, by more than half of the distance of its moments.
function isOutside(moments, at) {
  const [first, last] = ends(moments);
  const room = moments.length > 1 ? (last - first) / (moments.length - 1) / 2 : 0;
  return at < first - room || at > last + room;
}

function nearest(moments, at) {
  let best = 0;
  moments.forEach((moment, place) => {
    if (Math.abs(moment - at) < Math.abs(moments[best] - at)) best = place;
  });
  return best;
}

function zoom(range) {
  const whole = extentOf(shownCurves(), null, state.log, false).x;
  const clipped = range && [Math.max(whole[0], range[0]), Math.min(whole[1], range[1])];
  state.range = clipped && clipped[1] > clipped[0] ? clipped : null;
  redraw();
}

function chooseMetric(tag) {
  Object.assign(state, { tag, range: null, at: null });
  const curves = curvesOf(tag);
  const isPositive = curves.every((curve) => curve.mean.every((value) => value === null || value > 0));
  part("log").disabled = !isPositive;
  state.log = state.log && isPositive;
  part("log").checked = state.log;
  const hasSeeds = curves.some((curve) => curve.seeds);
  part("seeds-choice").hidden = !hasSeeds;
  state.seeds = hasSeeds && part("seeds").checked;
  legend();
  redraw();
}
