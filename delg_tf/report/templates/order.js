// Orders what is on the page; without this script it stays as it is, failures
// first.
"use strict";

// Items without a number come last, whatever the direction. Equal ones keep
// their places.
function sortedBy(items, numberOf, descending) {
  return [...items].sort((first, second) => {
    const [a, b] = [numberOf(first), numberOf(second)];
    if (a === null || b === null) return (a === null) - (b === null);
    if (typeof a === "string") {
      return (descending ? -1 : 1) * a.localeCompare(b, "en", { numeric: true });
    }
    return descending ? b - a : a - b;
  });
}

function keyOf(cell) {
  const key = cell.dataset.key;
  if (key === undefined) return cell.textContent.trim();
  return key === "" ? null : Number(key);
}

for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = heading.querySelector("button");
    button.disabled = false;
    button.addEventListener("click", () => {
      const descending = heading.getAttribute("aria-sort") === "ascending";
      for (const other of headings) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const body = table.tBodies[0];
      body.append(
        ...sortedBy(body.rows, (row) => keyOf(row.cells[column]), descending));
    });
  });
}

for (const choice of document.querySelectorAll(".ordering")) {
  const list = document.getElementById(choice.dataset.of);
  choice.hidden = false;
  choice.addEventListener("change", (event) => {
    const [key, direction] = event.target.value.split(" ");
    list.append(
      ...sortedBy(
        list.children, (item) => Number(item.dataset[key]), direction === "down"));
  });
}
