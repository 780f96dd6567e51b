// Optional: the page is complete without it. The number of its colour identifies a server.
(() => {
const $ = (where, all) => [...where.querySelectorAll(all)];
const body = document.body, servers = new Map($(document, "[data-server]").map(
  one => [one.dataset.server, one.dataset.v]));
const state = {pin: new Set(), off: new Set(), sort: ""};
const colourOf = node => {
  const found = node.closest("[data-v]");
  return found ? found.dataset.v : "";
};
const set = (name, values) => {
  const text = values.join(" "); // setting the same value again would cost a style pass
  if (text === (body.getAttribute(name) || "")) return;
  if (text) body.setAttribute(name, text);
  else body.removeAttribute(name);
};
const colours = names => [...names].map(name => servers.get(name));
// The same text as innerText, which lays the page out again after each change.
const words = node => [...node.childNodes].map(
  one => one.data ?? (one.tagName === "BR" ? " " : words(one))).join("");

function show(under) {
  set("data-hot", under ? [under] : colours(state.pin));
}

function showAll() {
  show();
  set("data-off", colours(state.off));
  $(document, "#pick button").forEach(button => {
    button.setAttribute("aria-pressed", String(!state.off.has(button.dataset.pick)));
  });
}

// The hash is either an anchor or state: #pin=a,b&off=c&sort=ranked.4.ascending
function write() {
  const words = new URLSearchParams();
  for (const name of ["pin", "off"]) if (state[name].size) words.set(name, [...state[name]]);
  if (state.sort) words.set("sort", state.sort);
  const hash = decodeURIComponent(String(words));
  history.replaceState(null, "", hash ? "#" + hash : location.pathname + location.search);
}

function read() {
  if (!location.hash.includes("=")) return;
  const words = new URLSearchParams(location.hash.slice(1));
  for (const name of ["pin", "off"]) {
    const wanted = (words.get(name) || "").split(",");
    state[name] = new Set(wanted.filter(one => servers.has(one)));
  }
  const [table, column, way] = (words.get("sort") || "").split(".");
  const found = document.getElementById(table);
  if (found && found.tHead && found.tHead.rows[0].cells[column]) sort(found, +column, way);
  showAll();
}

const SUFFIX = {k: 1e3, M: 1e6, G: 1e9, ms: 1e-3, "µs": 1e-6};
function value(cell) {
  const text = cell ? cell.textContent.trim() : "";
  const found = text.match(/^[≥±\s]*(-?[\d,]*\.?\d+)\s*(k|M|G|ms|µs)?/);
  return found ? parseFloat(found[1].replace(/,/g, "")) * (SUFFIX[found[2]] || 1) : text;
}

function order(a, b, sign) {
  const [numberA, numberB] = [typeof a === "number", typeof b === "number"];
  if (numberA && numberB) return sign * (a - b);
  if (numberA !== numberB) return numberA ? -1 : 1; // rows without a number go last
  return sign * a.localeCompare(b);
}

function sort(table, column, way) {
  const sign = way === "descending" ? -1 : 1;
  $(table, "th[aria-sort]").forEach(head => head.setAttribute("aria-sort", "none"));
  table.tHead.rows[0].cells[column].setAttribute("aria-sort", way);
  for (const part of table.tBodies) {
    const units = [];
    for (const row of part.rows) { // a row of reasons goes with the row above it
      if (row.classList.contains("why")) units[units.length - 1].push(row);
      else if (!row.classList.contains("group")) units.push([row]);
    }
    units.sort((a, b) => order(value(a[0].cells[column]), value(b[0].cells[column]), sign));
    part.append(...units.flat());
  }
  state.sort = [table.id, column, way].join(".");
}

function sortable(table) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.setAttribute("aria-label", "sort by " + words(head).replace(/\s+/g, " ").trim());
    head.setAttribute("aria-sort", "none");
    button.onclick = () => {
      const isUp = head.getAttribute("aria-sort") === "ascending";
      sort(table, column, isUp ? "descending" : "ascending");
      write();
    };
    head.append(button);
  });
}

function toggle(names, name) {
  if (!names.delete(name)) names.add(name);
  showAll();
  write();
}

const pick = document.getElementById("pick");
for (const [name, colour] of servers) {
  const button = document.createElement("button");
  const swatch = button.appendChild(document.createElement("i"));
  swatch.className = "sw";
  swatch.style.background = `var(--s${colour})`;
  button.type = "button";
  button.dataset.pick = name;
  button.setAttribute("aria-pressed", "true");
  button.append(name);
  button.onclick = () => toggle(state.off, name);
  pick.append(button);
}
pick.hidden = servers.size < 2;
$(document, "table[data-sort]").forEach(sortable);

const tip = body.appendChild(document.createElement("div"));
tip.className = "tip";
tip.hidden = true;
for (const title of $(document, ".hits title")) {
  title.parentElement.dataset.tip = title.textContent;
  title.remove(); // otherwise the browser's tooltip covers ours
}

// Reading a size after a change lays the page out again, so sizes are read before anything changes.
// The tip is the exception: its size is known only once it has its text.
function point(target) {
  const told = target ? target.dataset.tip : "";
  const box = told && target.getBoundingClientRect();
  const {scrollX, scrollY} = window, {clientWidth} = document.documentElement;
  show(target ? colourOf(target) : "");
  tip.hidden = !told;
  if (!told) return;
  tip.textContent = told;
  const {offsetWidth, offsetHeight} = tip;
  const left = Math.max(8, Math.min(box.right + 6, clientWidth - offsetWidth - 8));
  tip.style.left = left + scrollX + "px";
  tip.style.top = Math.max(8, box.top - offsetHeight - 4) + scrollY + "px";
}

for (const enter of ["pointerover", "focusin"]) {
  document.addEventListener(enter, event => point(event.target));
}
for (const leave of ["pointerout", "focusout"]) { // null: the pointer or focus left the page
  document.addEventListener(leave, event => { if (!event.relatedTarget) point(null); });
}
body.addEventListener("click", event => {
  if (event.target.closest("a,button,summary")) return;
  const colour = colourOf(event.target);
  const found = [...servers].find(([, one]) => one === colour);
  if (found && event.target.closest("tr,.hits")) toggle(state.pin, found[0]);
});
body.addEventListener("keydown", event => {
  if (event.key !== "Escape") return;
  state.pin.clear();
  state.off.clear();
  showAll();
  write();
});
addEventListener("hashchange", read);
read();
})();
