// The figure as a file.

// The figure as a file of its own, with its axis and legend in it.
function figureFile() {
  const width = 640;
  const height = 360;
  const figure = drawPlot(view(), width, height).svg;
  const shown = [...new Set(shownCurves().map((curve) => curve.number))];
  const total = height + 24 + 18 * shown.length;
  figure.setAttribute("xmlns", SVG);
  figure.setAttribute("viewBox", `0 -22 ${width} ${total + 22}`);
  figure.setAttribute("height", total + 22);
  figure.setAttribute("color", "#000000");
  figure.append(svgElement("text", { x: MARGIN.left, y: -6 }, axisText()));
  shown.forEach((number, row) => {
    const y = height + 12 + 18 * row;
    const key = svgElement("g", { transform: `translate(${MARGIN.left} ${y - 6})` });
    fillSwatch(key, data.arms[number]);
    figure.append(key, svgElement("text", { x: MARGIN.left + 36, y: y + 4 }, data.arms[number].name));
  });
  figure.append(svgElement("text", { x: MARGIN.left, y: total - 6, "font-size": 10 }, caption()));
  return new XMLSerializer().serializeToString(figure);
}

function download() {
  const file = new Blob([figureFile()], { type: "image/svg+xml" });
  const address = URL.createObjectURL(file);
  const name = `${document.title}-${state.tag.replaceAll("/", "-")}.svg`;
  htmlElement("a", { href: address, download: name }).click();
  URL.revokeObjectURL(address);
}
