// Draws curves into an SVG of its own: axes, bands, lines, markers. It knows nothing of the page.

const MARGIN = { left: 52, right: 14, top: 10, bottom: 38 };
const MARKERS_A_CURVE = 7;

// What a plot shows: `curves`, each with its arm, moments `x` and lists `mean`, `sd`, `seeds`;
// `range` of moments, null for all; `log` for a logarithmic scale; `seeds` for single seeds.
function extentOf(curves, range, log, withSeeds) {
  const all = curves.flatMap((curve) => curve.x);
  const x = range ?? [Math.min(...ends(all)), Math.max(...ends(all))];
  let [low, high] = [Infinity, -Infinity];
  for (const curve of curves) {
    curve.x.forEach((moment, place) => {
      if (moment < x[0] || moment > x[1] || curve.mean[place] === null) return;
      const sd = curve.sd[place] ?? 0;
      const values = [curve.mean[place] - sd, curve.mean[place] + sd, curve.mean[place]];
      if (withSeeds) values.push(...(curve.seeds ?? []).map((seed) => seed[place]));
      for (const value of values) {
        if (value === null || (log && value <= 0)) continue;
        low = Math.min(low, value);
        high = Math.max(high, value);
      }
    });
  }
  if (!Number.isFinite(low)) [low, high] = log ? [1, 10] : [0, 1];
  return { x: widened(x, 0, false), y: widened([low, high], 0.04, log) };
}

function ends(values) {
  return values.length ? values.reduce(([low, high], value) => [Math.min(low, value),
    Math.max(high, value)], [Infinity, -Infinity]) : [0, 1];
}

function widened([low, high], share, log) {
  if (low === high) {
    const room = Math.abs(low) * 0.05 || 0.5;
    return log ? [low / 1.1, high * 1.1] : [low - room, high + room];
  }
  if (log) return [low / (high / low) ** share, high * (high / low) ** share];
  return [low - (high - low) * share, high + (high - low) * share];
}

function scaleOf([low, high], from, to, log) {
  const place = log ? Math.log : (value) => value;
  const scale = (value) => from + ((place(value) - place(low)) / (place(high) - place(low))) * (to - from);
  scale.inverse = (pixel) => low + ((pixel - from) / (to - from)) * (high - low);
  return scale;
}

// Lines through all values that there are; a value that is missing is a gap.
function pathOf(points) {
  let d = "";
  let isOpen = false;
  for (const [x, y] of points) {
    if (y === null || !Number.isFinite(y)) {
      isOpen = false;
      continue;
    }
    d += `${isOpen ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
    isOpen = true;
  }
  return d;
}

function drawPlot(view, width, height) {
  const { x, y } = extentOf(view.curves, view.range, view.log, view.seeds);
  const right = width - MARGIN.right;
  const bottom = height - MARGIN.bottom;
  const across = scaleOf(x, MARGIN.left, right, false);
  const up = scaleOf(y, bottom, MARGIN.top, view.log);
  const svg = svgElement("svg", {
    width, height, viewBox: `0 0 ${width} ${height}`, "font-size": 12, fill: "currentColor",
    "font-family": "Helvetica, Arial, sans-serif",
  });
  drawAxes(svg, view, across, up, x, y, right, bottom);

  // Nothing leaves the axes.
  const clip = svgElement("clipPath", { id: "inside" }, svgElement("rect", {
    x: MARGIN.left, y: MARGIN.top - 4, width: right - MARGIN.left + 4, height: bottom - MARGIN.top + 8,
  }));
  const inside = svgElement("g", { "clip-path": "url(#inside)" });
  svg.append(svgElement("defs", {}, clip), inside);
  const upwards = (value) => (value === null || (view.log && value <= 0) ? null : up(value));
  view.curves.forEach((curve, count) => {
    drawCurve(inside, view, curve, across, upwards, up(y[0]), count);
  });
  return { svg, across, up: upwards, x, bottom, right };
}

function drawAxes(svg, view, across, up, x, y, right, bottom) {
  const text = (content, more) => svgElement("text", { "font-size": 11, ...more }, content);
  const line = (more) => svgElement("line", { stroke: "currentColor", "stroke-opacity": 0.14, ...more });
  const most = Math.max(3, Math.floor((right - MARGIN.left) / 80));
  for (const tick of linearTicks(x[0], x[1], most)) {
    svg.append(
      line({ x1: across(tick), x2: across(tick), y1: MARGIN.top, y2: bottom }),
      text(numberText(tick), { x: across(tick), y: bottom + 15, "text-anchor": "middle", class: "tick-x" }),
    );
  }
  for (const tick of view.log ? logTicks(y[0], y[1]) : linearTicks(y[0], y[1], 8)) {
    svg.append(
      line({ x1: MARGIN.left, x2: right, y1: up(tick), y2: up(tick) }),
      text(numberText(tick), { x: MARGIN.left - 6, y: up(tick) + 4, "text-anchor": "end", class: "tick-y" }),
    );
  }
  svg.append(
    line({ x1: MARGIN.left, x2: right, y1: bottom, y2: bottom, "stroke-opacity": 0.7 }),
    line({ x1: MARGIN.left, x2: MARGIN.left, y1: MARGIN.top, y2: bottom, "stroke-opacity": 0.7 }),
    text(view.time, { x: (MARGIN.left + right) / 2, y: bottom + 33, "text-anchor": "middle" }),
  );
}

function drawCurve(inside, view, curve, across, up, floor, count) {
  const { arm } = curve;
  const name = { "data-arm": curve.number };
  if (view.seeds && curve.seeds) {
    for (const seed of curve.seeds) {
      const points = curve.x.map((moment, place) => [across(moment), up(seed[place])]);
      inside.append(lineOf(arm, pathOf(points), { ...name, class: lineClass(arm, "seed"),
        "stroke-width": 0.8, "stroke-opacity": 0.5, "stroke-dasharray": "none" }));
    }
  } else {
    drawBand(inside, curve, across, up, floor);
  }
  const points = curve.x.map((moment, place) => [across(moment), up(curve.mean[place])]);
  inside.append(lineOf(arm, pathOf(points), { ...name, class: lineClass(arm, "mean-line") }));

  // A few markers, those of different arms at different moments.
  const stride = Math.max(1, Math.floor(points.length / MARKERS_A_CURVE));
  points.forEach(([x, y], place) => {
    const isMarked = points.length < 3 || (place + count * Math.ceil(stride / 3)) % stride === 0;
    if (isMarked && y !== null) inside.append(markerOf(arm, x.toFixed(1), y.toFixed(1)));
  });
}

function lineClass(arm, kind) {
  return `drawn-line ${kind}${arm.control ? " of-control" : ""}`;
}

// The band of one standard deviation, in pieces where it is not known; an error bar of a single
// moment. On a logarithmic scale what reaches 0 goes down to the axis.
function drawBand(inside, curve, across, up, floor) {
  const { arm } = curve;
  const look = { fill: arm.colour, class: "drawn-fill", style: `--arm: ${arm.colour}`, "fill-opacity": 0.16 };
  if (arm.control) look.class += " of-control";
  let piece = [];
  const finish = () => {
    const back = [...piece].reverse();
    const corners = [...piece.map(([x, high]) => [x, high]), ...back.map(([x, , low]) => [x, low])];
    if (piece.length > 1) inside.append(svgElement("path", { d: `${pathOf(corners)}Z`, ...look }));
    if (piece.length === 1) {
      const [[x, high, low]] = piece;
      inside.append(lineOf(arm, `M${x} ${high}V${low}`, { "stroke-width": 1.2, "stroke-dasharray": "none",
        class: lineClass(arm, "error-bar") }));
    }
    piece = [];
  };
  curve.x.forEach((moment, place) => {
    const mean = curve.mean[place];
    const sd = curve.sd[place];
    if (mean === null || sd === null || up(mean + sd) === null) finish();
    else piece.push([across(moment), up(mean + sd), up(mean - sd) ?? floor]);
  });
  finish();
}
