// Tables that are sorted by a click on a head, and folded parts that open for printing.

function cellValue(row, column) {
  const text = row.cells[column].textContent.trim();
  const number = Number(text.replaceAll(",", ""));
  return text === "" || text === "-" ? -Infinity : Number.isNaN(number) ? text : number;
}

function compareValues(first, second) {
  if (typeof first === "number" && typeof second === "number") return first - second;
  return String(first).localeCompare(String(second), undefined, { numeric: true });
}

function sortBy(table, column) {
  const heads = [...table.tHead.rows[0].cells];
  const isUp = heads[column].getAttribute("aria-sort") !== "ascending";
  heads.forEach((head) => head.removeAttribute("aria-sort"));
  heads[column].setAttribute("aria-sort", isUp ? "ascending" : "descending");
  const rows = [...table.tBodies[0].rows];
  rows.sort((first, second) => {
    const order = compareValues(cellValue(first, column), cellValue(second, column));
    return isUp ? order : -order;
  });
  table.tBodies[0].append(...rows);
}

document.querySelectorAll("table.sortable").forEach((table) => {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = htmlElement("button", { type: "button" }, head.textContent);
    button.addEventListener("click", () => sortBy(table, column));
    head.replaceChildren(button);
  });
});

let opened = [];
window.addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open])")];
  opened.forEach((details) => { details.open = true; });
});
window.addEventListener("afterprint", () => {
  opened.forEach((details) => { details.open = false; });
});
