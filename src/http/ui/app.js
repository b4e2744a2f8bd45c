// Refreshes the main part of the dashboard, says how old it is, and offers to copy SQL.
// Everything is readable without this file: the page is drawn by the server.
"use strict";

const EVERY_MS = 10_000;
const main = document.getElementById("main");
const freshness = document.getElementById("freshness");
let seenAt = Date.now();
let failure = null;

function age(ms) {
  const seconds = Math.round(ms / 1000);
  if (seconds < 100) return `${seconds} s`;
  if (seconds < 6000) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}

function tell() {
  const old = age(Date.now() - seenAt);
  const text = failure ? `No answer for ${old}: ${failure}` : `Updated ${old} ago`;
  if (freshness.textContent !== text) freshness.textContent = text;
  document.body.classList.toggle("stale", failure !== null);
}

function addCopyButtons() {
  if (!navigator.clipboard) return;
  for (const block of main.querySelectorAll("pre.sql")) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(block.querySelector("code").textContent);
        button.textContent = "Copied";
      } catch {
        button.textContent = "Select and copy by hand";
      }
    });
    block.append(button);
  }
}

const FOCUSABLE = "a, button, summary, input";

// What-ifs: a form beside each chart; the server draws the chart anew from stored forecasts.
const asked = new WeakMap();

function scenario(form) {
  const query = new URLSearchParams(new FormData(form));
  for (const [name, text] of [...query]) if (text.trim() === "") query.delete(name);
  return query;
}

async function draw(form) {
  const turn = (asked.get(form) ?? 0) + 1;
  asked.set(form, turn);
  const said = form.querySelector("output");
  try {
    const url = `${form.getAttribute("action")}?${scenario(form)}`;
    const answer = await fetch(url, { signal: AbortSignal.timeout(8_000) });
    // A later question has been asked meanwhile.
    if (asked.get(form) !== turn) return;
    if (!answer.ok) {
      said.textContent = (await answer.json()).detail;
      return;
    }
    const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
    form.parentElement.querySelector(".drawn").replaceChildren(...parsed.body.childNodes);
    said.textContent = "";
  } catch {
    if (asked.get(form) === turn) said.textContent = "the server is not reachable";
  }
}

function isAsking(form) {
  return [...form.elements].some((field) => field.type === "text" && field.value.trim() !== "");
}

function showForms() {
  for (const form of main.querySelectorAll("form.what-if")) form.hidden = false;
}

main.addEventListener("input", (event) => {
  const form = event.target.closest("form.what-if");
  if (form) draw(form);
});
main.addEventListener("submit", (event) => {
  if (event.target.matches("form.what-if")) event.preventDefault();
});

function replace(html) {
  // What a reader has opened stays open, and the keyboard stays where it was.
  const opened = [...main.querySelectorAll("details")].map((details) => details.open);
  const focused = [...main.querySelectorAll(FOCUSABLE)].indexOf(document.activeElement);
  const answers = [...main.querySelectorAll("form.what-if")].filter(isAsking).map(scenario);
  const parsed = new DOMParser().parseFromString(html, "text/html");
  main.replaceChildren(...parsed.body.childNodes);
  main.querySelectorAll("details").forEach((details, i) => {
    details.open = opened[i] === true;
  });
  addCopyButtons();
  showForms();
  // What was asked is asked again, of the new forecasts.
  for (const form of main.querySelectorAll("form.what-if")) {
    const id = form.elements.id.value;
    const kept = answers.find((query) => query.get("id") === id);
    if (!kept) continue;
    for (const [name, text] of kept) form.elements[name].value = text;
    draw(form);
  }
  main.querySelectorAll(FOCUSABLE)[focused]?.focus({ preventScroll: true });
}

function isTyping() {
  return main.contains(document.activeElement) && document.activeElement.matches("input");
}

function isSelecting() {
  const selection = document.getSelection();
  return selection && !selection.isCollapsed && main.contains(selection.anchorNode);
}

async function refresh() {
  if (document.hidden) return;
  try {
    const url = new URL(location.href);
    url.searchParams.set("fragment", "main");
    const answer = await fetch(url, { cache: "no-cache", signal: AbortSignal.timeout(8_000) });
    if (!answer.ok) throw new Error(`the server said ${answer.status}`);
    const html = await answer.text();
    failure = null;
    // Neither a selection nor a field is torn away; the age keeps counting meanwhile.
    if (!isSelecting() && !isTyping()) {
      replace(html);
      seenAt = Date.now();
    }
  } catch (error) {
    failure = error.name === "TypeError" ? "the server is not reachable" : error.message;
  }
  tell();
}

addCopyButtons();
showForms();
tell();
setInterval(refresh, EVERY_MS);
setInterval(tell, 1_000);
document.addEventListener("visibilitychange", refresh);
