// Makes the pages live and quick to move in. They are complete without it.
"use strict";

// --- times in the reader's own zone ------------------------------------------------------------

const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [0, "s"]];
const ABSOLUTE = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });

function lasted(seconds) {
  const [size, unit] = UNITS.find(([size]) => seconds >= size) || UNITS[3];
  return `${Math.round(seconds / (size || 1))} ${unit}`;
}

function tellTimes() {
  for (const time of document.querySelectorAll("time[datetime]")) {
    const at = Date.parse(time.dateTime);
    if (Number.isNaN(at)) continue;
    const away = (Date.now() - at) / 1000;
    time.textContent = away >= 0 ? `${lasted(away)} ago` : `in ${lasted(-away)}`;
    time.title = ABSOLUTE.format(at);
  }
}

// --- live --------------------------------------------------------------------------------------

const topics = (document.body.dataset.topics || "").split(" ").filter(Boolean);
const sign = document.getElementById("live");
const GAP = 400; // ms between two loads, so that a busy fleet does not become a storm
const SHARE = 4; // and so many times as long as a load takes
const AWAY = 30000; // ms a page may be out of sight until it stops listening: browsers allow few streams
const LATER = 15000; // ms until what was refused is tried again
let loading = false, again = false, loadedAt = 0, loadTook = 0;

function concerns(moved) {
  return moved.some((topic) => topic === "*" || topics.some((mine) =>
    mine === topic || mine === "*" || (mine.endsWith(":*") && topic.startsWith(mine.slice(0, -1)))));
}

function say(text) {
  if (!sign) return;
  sign.hidden = false;
  if (sign.textContent !== text) sign.textContent = text;
}

function touched(field) {
  if (field === document.activeElement) return true;
  if (field.type === "checkbox" || field.type === "radio") return field.checked !== field.defaultChecked;
  if (field.options) {
    const chosen = [...field.options].some((option) => option.defaultSelected);
    return [...field.options].some((option, place) => option.selected !== (chosen ? option.defaultSelected : place === 0));
  }
  return field.value !== field.defaultValue;
}

// Somebody is filling it in: what they typed is theirs.
function inUse(region) {
  return [...region.querySelectorAll("input:not([type=hidden]), textarea, select")].some(touched);
}

// Somebody is about to copy it.
function isSelected(region) {
  const selection = document.getSelection();
  return !selection.isCollapsed && selection.rangeCount > 0 && selection.getRangeAt(0).intersectsNode(region);
}

// As the server sent it: ages are told anew all the time.
function plain(region) {
  const copy = region.cloneNode(true);
  for (const time of copy.querySelectorAll("time[datetime]")) { time.textContent = ""; time.removeAttribute("title"); }
  for (const one of copy.querySelectorAll("details[id]")) one.open = false;
  for (const one of copy.querySelectorAll("[data-filled]")) one.remove();
  return copy.outerHTML;
}

function exchange(before, after) {
  if (plain(before) === plain(after)) return;
  // What a question is about never changes under the hand that answers it.
  const asked = before.dataset.root;
  if (inUse(before) || (asked !== undefined && asked !== after.dataset.root)) {
    before.dataset.stale = "";
    return;
  }
  if (isSelected(before)) { setTimeout(load, 3000); return; }
  const open = new Map([...before.querySelectorAll("details[id]")].map((one) => [one.id, one.open]));
  const scrolled = [...before.querySelectorAll(".wide")].map((one) => one.scrollLeft);
  const focused = before.contains(document.activeElement) ? document.activeElement : null;
  const filled = [...before.querySelectorAll("details[id][open] > .look > [data-filled]")].map((one) => [one.closest("details").id, one]);
  before.replaceWith(after);
  for (const [id, look] of filled) document.getElementById(id)?.querySelector(":scope > .look")?.append(look);
  for (const one of after.querySelectorAll("details[id]")) if (open.has(one.id)) one.open = open.get(one.id);
  [...after.querySelectorAll(".wide")].forEach((one, place) => { one.scrollLeft = scrolled[place] || 0; });
  if (focused) successor(focused, after)?.focus({ preventScroll: true });
}

// The element that takes the place of one that had the focus.
function successor(focused, region) {
  if (focused.id) return document.getElementById(focused.id);
  const href = focused.getAttribute("href");
  if (href !== null) return [...region.querySelectorAll("a[href]")].find((one) => one.getAttribute("href") === href);
  return focused.matches(".wide") ? region.querySelector(".wide") : null;
}

async function load() {
  if (loading) { again = true; return; }
  loading = true;
  await new Promise((done) => setTimeout(done, Math.max(0, loadedAt + Math.max(GAP, SHARE * loadTook) - Date.now())));
  const began = Date.now();
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" }, credentials: "same-origin" });
    if (answer.redirected && new URL(answer.url).pathname === "/sign-in") { signedOut(); return; }
    if (answer.ok) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const after of page.querySelectorAll("[data-live][id]")) {
        const before = document.getElementById(after.id);
        if (before) exchange(before, document.adoptNode(after));
      }
      tellTimes();
    }
  } catch { /* the stream says when the controller is back */ }
  loadedAt = Date.now();
  loadTook = loadedAt - began;
  loading = false;
  if (again) { again = false; load(); }
}

// What somebody typed is not taken from them: they may want to copy it.
function signedOut() {
  if (!inUse(document.body)) { location.reload(); return; }
  say("signed out: sign in in another tab, then go on");
  loading = false;
}

let stream = null, version = "", lost = false, leaving = 0;

function listen() {
  if (stream && stream.readyState !== EventSource.CLOSED) return;
  // What moved since this page was asked for is told at once.
  stream = new EventSource(`/live?heard=${document.body.dataset.heard || 0}`);
  stream.addEventListener("hello", (told) => {
    if (version && version !== told.data && !inUse(document.body)) { location.reload(); return; }
    version = version || told.data;
    say(version === told.data ? "live" : "a newer version runs: load the page again");
    if (lost) load();
    lost = false;
  });
  stream.addEventListener("moved", (told) => { if (concerns(told.data.split("\n"))) load(); });
  stream.addEventListener("error", (event) => {
    lost = true;
    if (event.target.readyState !== EventSource.CLOSED) { say("reconnecting …"); return; }
    say("not live: it is tried again soon");
    load(); // which finds out whether somebody has to sign in
    setTimeout(listen, LATER);
  });
}

function hush() {
  stream?.close();
  lost = true;
}

document.addEventListener("visibilitychange", () => {
  if (!stream) return;
  clearTimeout(leaving);
  if (document.hidden) leaving = setTimeout(hush, AWAY);
  else if (stream.readyState === EventSource.CLOSED) listen();
});
window.addEventListener("pagehide", hush);
window.addEventListener("pageshow", (event) => { if (event.persisted && stream) listen(); });

// --- what is fetched when it is opened ----------------------------------------------------------

// A link in a closed <details>: the page behind it has an element "look" that is shown in place.
document.addEventListener("toggle", async (event) => {
  const link = event.target.open && event.target.querySelector(":scope > .look > a[data-fill]");
  if (!link) return;
  try {
    const answer = await fetch(link.href, { headers: { accept: "text/html" }, credentials: "same-origin" });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const found = page.getElementById("look") || page.querySelector("main h1");
    if (answer.redirected || !found) return;
    const shown = document.adoptNode(found);
    shown.removeAttribute("id");
    shown.dataset.filled = "";
    link.parentElement.querySelector(":scope > [data-filled]")?.remove();
    link.parentElement.append(shown);
    tellTimes();
  } catch { /* it is still a link */ }
}, true);

// --- keys --------------------------------------------------------------------------------------

const places = new Map([...document.querySelectorAll("header nav a")].map((link) => [link.textContent[0].toLowerCase(), link.href]));
let going = false;

function step(by) {
  const rows = [...document.querySelectorAll("[data-row]")].filter((row) => row.offsetParent !== null);
  if (!rows.length) return;
  const at = rows.indexOf(document.activeElement.closest?.("[data-row]"));
  rows[at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + by))].focus();
}

document.addEventListener("keydown", (press) => {
  if (press.ctrlKey || press.metaKey || press.altKey || press.target.closest("input, textarea, select, dialog")) return;
  const key = press.key;
  if (going && places.has(key)) location.href = places.get(key);
  going = key === "g";
  if (key === "j" || key === "k") step(key === "j" ? 1 : -1);
  else if (key === "/") document.getElementById("find")?.focus();
  else if (key === "?") document.getElementById("keys").showModal();
  else return;
  press.preventDefault();
});

tellTimes();
setInterval(tellTimes, 5000);
if (topics.length && "EventSource" in window) listen();
