// Fills the page in, once all of its script is read.

function fillChoices() {
  const groups = new Map();
  for (const { tag } of data.tags) {
    const group = tag.includes("/") ? tag.slice(0, tag.lastIndexOf("/")) : "others";
    if (!groups.has(group)) groups.set(group, htmlElement("optgroup", { label: group }));
    groups.get(group).append(htmlElement("option", { value: tag }, tag));
  }
  part("metric").append(...groups.values());
}

function start() {
  document.querySelectorAll("[data-swatch]").forEach((swatch) => {
    fillSwatch(swatch, data.arms[swatch.dataset.swatch]);
  });
  fillChoices();
  part("metric").value = data.metric in data.curves ? data.metric : data.tags[0].tag;
  part("metric").addEventListener("change", (event) => chooseMetric(event.target.value));
  part("log").addEventListener("change", (event) => { state.log = event.target.checked; redraw(); });
  part("seeds").addEventListener("change", (event) => { state.seeds = event.target.checked; redraw(); });
  part("reset").addEventListener("click", () => zoom(null));
  part("download").addEventListener("click", download);
  listenToPointer();
  listenToKeys();
  chooseMetric(part("metric").value);
  let width = part("plot").clientWidth;
  new ResizeObserver(() => {
    if (part("plot").clientWidth !== width) redraw();
    width = part("plot").clientWidth;
  }).observe(part("plot"));
}

start();
