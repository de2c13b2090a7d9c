// Zooming and reading values by pointer and by keyboard.

// The pointer: a line where it is, a box while it is dragged.
function listenToPointer() {
  const area = part("plot");
  let from = null;
  let box = null;
  const inPlot = (event) => {
    const pixel = event.clientX - area.getBoundingClientRect().left;
    return Math.min(plot.right, Math.max(MARGIN.left, pixel));
  };
  area.addEventListener("pointerdown", (event) => {
    if (event.button === 0) from = inPlot(event);
  });
  area.addEventListener("pointermove", (event) => {
    const pixel = inPlot(event);
    state.at = plot.across.inverse(pixel);
    readValues();
    if (from === null || Math.abs(pixel - from) < 6) return;
    box?.remove();
    box = svgElement("rect", { x: Math.min(from, pixel), width: Math.abs(pixel - from), y: MARGIN.top,
      height: plot.bottom - MARGIN.top, fill: "currentColor", "fill-opacity": 0.12 });
    plot.svg.append(box);
  });
  window.addEventListener("pointerup", (event) => {
    if (from !== null && box) {
      const places = [from, inPlot(event)].map(plot.across.inverse).sort((a, b) => a - b);
      box = null;
      zoom(places);
    }
    from = null;
  });
  area.addEventListener("pointerleave", () => { state.at = null; readValues(); });
  area.addEventListener("pointercancel", () => { from = null; box?.remove(); box = null; });
  area.addEventListener("dblclick", () => zoom(null));
}

function listenToKeys() {
  part("plot").addEventListener("keydown", (event) => {
    const [low, high] = plot.x;
    const at = state.at ?? (low + high) / 2;
    const moments = [...new Set(shownCurves().flatMap((curve) => curve.x))]
      .filter((moment) => moment >= low && moment <= high).sort((a, b) => a - b);
    const place = nearest(moments, at);
    const zoomed = (factor) => zoom([at - (at - low) * factor, at + (high - at) * factor]);
    const actions = {
      ArrowLeft: () => { state.at = moments[Math.max(0, place - 1)]; readValues(); },
      ArrowRight: () => { state.at = moments[Math.min(moments.length - 1, place + 1)]; readValues(); },
      "+": () => zoomed(0.5),
      "-": () => zoomed(2),
      0: () => zoom(null),
    };
    if (!actions[event.key] || !moments.length) return;
    event.preventDefault();
    actions[event.key]();
  });
}
