// Elements of SVG and HTML, numbers as text, and the marks of axes.

const SVG = "http://www.w3.org/2000/svg";

function svgElement(name, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) {
    element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

function htmlElement(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

// Shapes of the markers that matplotlib calls o, s, ^, D, v, P and X, around 0.
const MARKERS = {
  o: "M-3 0a3 3 0 1 0 6 0a3 3 0 1 0 -6 0Z",
  s: "M-2.7 -2.7H2.7V2.7H-2.7Z",
  "^": "M0 -3.4L3.2 2.6H-3.2Z",
  D: "M0 -3.7L3.7 0L0 3.7L-3.7 0Z",
  v: "M0 3.4L3.2 -2.6H-3.2Z",
  P: "M-1.2 -3.4H1.2V-1.2H3.4V1.2H1.2V3.4H-1.2V1.2H-3.4V-1.2H-1.2Z",
  X: "M-3.2 -1.6L-1.6 -3.2L0 -1.6L1.6 -3.2L3.2 -1.6L1.6 0L3.2 1.6L1.6 3.2L0 1.6L-1.6 3.2L-3.2 1.6L-1.6 0Z",
};

// A line in an arm's colour. The colour is an attribute, which a downloaded file keeps, and a
// property, which the page makes lighter on a dark background.
function lineOf(arm, d, more = {}) {
  return svgElement("path", {
    d,
    fill: "none",
    stroke: arm.colour,
    "stroke-width": 1.8,
    "stroke-dasharray": arm.dash.map((length) => length * 1.4).join(" ") || "none",
    "stroke-linejoin": "round",
    class: `drawn-line${arm.control ? " of-control" : ""}`,
    style: `--arm: ${arm.colour}`,
    ...more,
  });
}

function markerOf(arm, x, y) {
  return svgElement("path", {
    d: MARKERS[arm.marker],
    transform: `translate(${x} ${y})`,
    fill: arm.colour,
    class: `drawn-fill${arm.control ? " of-control" : ""}`,
    style: `--arm: ${arm.colour}`,
  });
}

function fillSwatch(swatch, arm) {
  swatch.append(lineOf(arm, "M1 6H27"), markerOf(arm, 14, 6));
}

// At most so many round numbers between two ends.
function linearTicks(low, high, most) {
  const rough = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const ticks = [];
  for (let count = Math.ceil(low / step - 1e-9); count * step <= high + step * 1e-9; count += 1) {
    ticks.push(Number((count * step).toPrecision(12)));
  }
  return ticks;
}

// Powers of ten between two ends above 0, with 2 and 5 times them where there are few.
function logTicks(low, high) {
  const ticks = [];
  const factors = Math.log10(high / low) > 3 ? [1] : [1, 2, 5];
  for (let power = Math.floor(Math.log10(low)); 10 ** power <= high; power += 1) {
    for (const factor of factors) {
      const tick = Number((factor * 10 ** power).toPrecision(6));
      if (tick >= low && tick <= high) ticks.push(tick);
    }
  }
  return ticks.length > 1 ? ticks : linearTicks(low, high, 5);
}

function numberText(value) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(2);
  return String(Number(value.toPrecision(4)));
}

// A mean with four digits and its standard deviation with two.
function valueText(mean, sd) {
  if (mean === null) return "–";
  const written = (value, digits) => (Math.abs(value) >= 1e6 || (value !== 0 && Math.abs(value) < 1e-3)
    ? value.toExponential(digits - 1)
    : value.toFixed(Math.max(0, digits - 1 - Math.floor(Math.log10(Math.abs(value) || 1)))));
  return sd === null ? written(mean, 4) : `${written(mean, 4)} ± ${written(sd, 2)}`;
}
