// Makes the plain pages quicker: live swaps, busy buttons, drafts, keys. Every act works without it, as a form.
"use strict";

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const words = $("#spoken")?.dataset ?? {};
const fill = (sentence, values) => (sentence ?? "").replace(/\{(\w+)\}/g, (_, key) => values[key] ?? "");
const clockTime = () => new Date().toTimeString().slice(0, 5);
const kept = (store, key, value) => {
  try {
    if (value === undefined) return store.getItem(key);
    if (value === null) store.removeItem(key);
    else store.setItem(key, value);
  } catch { /* a browser that keeps nothing: the page works all the same */ }
  return null;
};

// ── Live regions ──────────────────────────────────────────────────────
// What the server last sent, by id; the page's own touches (tabindex, busy, いま) must not look like news.
const sent = new Map();
// A form's nonce is another at every rendering and says nothing new.
const source = (e) => e.outerHTML.replace(/name="nonce" value="[^"]*"/g, "");
const remember = (root) => $$("[id]", root).forEach((e) => sent.set(e.id, source(e)));
const keyed = (element) => element.children.length > 0 && [...element.children].every((child) => child.id);
const typing = (element) => {
  const at = document.activeElement;
  return element.contains(at) && at.matches("input:not([type=hidden]), textarea, select") && at.value !== at.defaultValue;
};

let changed = [];

function replace(old, fresh) {
  if (typing(old)) return old;
  const at = document.activeElement;
  const held = old.contains(at) ? focusKey(at) : null;
  const open = $$("details[open][id]", old).map((d) => d.id);
  const node = document.importNode(fresh, true);
  old.replaceWith(node);
  open.forEach((id) => $(`#${CSS.escape(id)}`, node)?.setAttribute("open", ""));
  if (held) (held(node) ?? $("[tabindex='-1'], a, button", node) ?? node).focus({ preventScroll: true });
  return node;
}

function focusKey(at) {
  if (at.id) return (node) => (node.id === at.id ? node : $(`#${CSS.escape(at.id)}`, node));
  if (at.name) return (node) => $$(at.tagName, node).find((e) => e.name === at.name && (e.value === at.value || e.textContent === at.textContent));
  if (at.href) return (node) => $$("a", node).find((e) => e.href === at.href);
  return () => null;
}

function merge(old, fresh) {
  const news = source(fresh);
  if (sent.get(old.id) === news) return;
  sent.set(old.id, news);
  if (!keyed(fresh) || !(keyed(old) || old.children.length === 0)) {
    const node = replace(old, fresh);
    if (node !== old) { changed.push(node); remember(node); }
    return;
  }
  const present = new Map([...old.children].map((child) => [child.id, child]));
  let before = old.firstElementChild;
  for (const child of [...fresh.children]) {
    const mine = present.get(child.id);
    present.delete(child.id);
    if (!mine) {
      const node = document.importNode(child, true);
      node.classList.add("arrived");
      old.insertBefore(node, before);
      changed.push(node);
      sent.set(node.id, source(child));
      remember(child);
      continue;
    }
    if (mine === before) before = before.nextElementSibling;
    else old.insertBefore(mine, before);
    merge(mine, child);
  }
  for (const gone of present.values()) if (gone.id !== "news") { sent.delete(gone.id); gone.remove(); }
}

function swap(fresh, within = $$("[data-live]")) {
  changed = [];
  const log = $("[role=log]");
  const atEnd = !log || log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  const eye = [...document.elementsFromPoint(innerWidth / 2, innerHeight / 2)].map((e) => e.closest("[id]")).find((e) => e && e.id !== "main");
  const eyeTop = eye?.getBoundingClientRect().top;
  for (const region of within) {
    const twin = region.id && fresh.getElementById(region.id);
    if (twin) merge(region, twin);
  }
  const again = eye?.id && document.getElementById(eye.id);
  if (again && !log?.contains(again)) scrollBy(0, again.getBoundingClientRect().top - eyeTop);
  if (log && changed.some((e) => log.contains(e))) atEnd ? toEnd(log) : news(log, changed.filter((e) => log.contains(e)).length);
  announce(changed.filter((e) => !log?.contains(e) && e.id !== "town-clock"));
  enliven();
}

function announce(list) {
  if (!list.length) return;
  const one = list.length === 1;
  $("#said").textContent = one ? list[0].dataset.say ?? words.one : fill(words.several, { n: list.length });
  for (const element of list) {
    if (element.tagName !== "LI" || element.closest(".rooms, .timeline")) continue;
    element.classList.add("fresh");
    const just = Object.assign(document.createElement("span"), { className: "just", textContent: words.just });
    if (!$(".just", element)) ($(".tile", element) ?? element).append(just);
    setTimeout(() => { element.classList.remove("fresh"); just.remove(); }, 30_000);
  }
}

const toEnd = (log) => { log.scrollTop = log.scrollHeight; };

function news(log, n) {
  let button = $("#news");
  if (!button) {
    button = Object.assign(document.createElement("button"), { id: "news", className: "button news", type: "button" });
    button.addEventListener("click", () => { toEnd(log); button.remove(); });
    button.dataset.n = "0";
    log.append(button);
  }
  button.dataset.n = String(Number(button.dataset.n) + n);
  button.textContent = fill(words.news, { n: button.dataset.n });
}

let asking = null;
async function refresh() {
  if (asking) { asking.again = true; return; }
  asking = { again: false };
  const regions = new Map();
  for (const region of $$("[data-live]")) {
    const url = region.dataset.live || location.pathname + location.search;
    regions.set(url, [...(regions.get(url) ?? []), region]);
  }
  try {
    for (const [url, list] of regions) {
      const answer = await fetch(url, { headers: { "X-Live": "1", "X-As": document.body.dataset.as ?? "" }, credentials: "same-origin" });
      if (answer.status === 409) { await part(answer); return; }
      if (!answer.ok) throw new Error(String(answer.status));
      if (answer.redirected && new URL(answer.url).pathname !== new URL(url, location).pathname) { location.reload(); return; }
      swap(new DOMParser().parseFromString(await answer.text(), "text/html"), list);
    }
    connected(true);
  } catch {
    connected(false);
  } finally {
    const more = asking.again;
    asking = null;
    if (more) setTimeout(refresh, 200);
  }
}

// Another window of this browser has become somebody else: this one says so, and nothing on it can be pressed any more.
async function part(answer) {
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const said = $("#main", page);
  document.body.className = page.body.className;
  delete document.body.dataset.events;
  stream?.close();
  $$("main ~ *, nav.tabs, aside.demo").forEach((e) => e.remove());
  $("#main").replaceWith(document.importNode(said, true));
  $("#main").focus();
}

// ── The line ──────────────────────────────────────────────────────────
let stream = null;
let seen = clockTime();
let lost = 0;

function connected(yes) {
  const mark = $("#live");
  const band = $("#offline");
  clearTimeout(lost);
  if (yes) seen = clockTime();
  if (mark) {
    mark.dataset.state = yes ? "on" : "off";
    $("span", mark).textContent = yes ? words.on : words.off;
  }
  if (!band) return;
  $("[data-seen]", band).textContent = fill(words.seen, { time: seen });
  band.hidden = yes;
}

function listen() {
  const path = document.body.dataset.events;
  if (!path) return;
  stream?.close();
  if (!window.EventSource) return;
  stream = new EventSource(path);
  let timer = 0;
  stream.addEventListener("open", () => connected(true));
  stream.addEventListener("changed", () => { clearTimeout(timer); timer = setTimeout(refresh, 80); });
  stream.addEventListener("error", () => { clearTimeout(lost); lost = setTimeout(() => refresh(), 3000); });
}

setInterval(() => {
  const stale = !stream || stream.readyState !== 1;
  if (document.body.dataset.events && stale && !document.hidden) { refresh(); if (!stream || stream.readyState === 2) listen(); }
}, 30_000);
addEventListener("offline", () => connected(false));
addEventListener("online", () => { listen(); refresh(); });
addEventListener("pageshow", (event) => { if (event.persisted) { $$("form").forEach(rest); listen(); refresh(); } });
addEventListener("pagehide", () => stream?.close());
// A browser holds six lines to one host: windows that nobody sees give theirs back, and look again when they are seen.
document.addEventListener("visibilitychange", () => { if (document.hidden) stream?.close(); else { listen(); refresh(); } });

// ── Forms ─────────────────────────────────────────────────────────────
function busy(form, pressed) {
  form.dataset.sending = "1";
  for (const button of $$("button", form)) button.setAttribute("aria-disabled", "true");
  if (!pressed?.classList.contains("button")) return;
  pressed.setAttribute("aria-busy", "true");
  // A width of its own, so that nothing beside it moves; through the object model, which the page's policy allows.
  pressed.style.minWidth = `${pressed.offsetWidth}px`;
  const round = pressed.offsetWidth < 100;
  pressed.dataset.words = pressed.textContent;
  pressed.restore = [...pressed.childNodes];
  if (!round) pressed.replaceChildren(words.busy);
  $("#said").textContent = words.busy;
  form.late = setTimeout(() => {
    rest(form);
    if (!round) { pressed.restore = [...pressed.childNodes]; pressed.replaceChildren(words.again); }
    $("#said").textContent = words.again;
  }, 8000);
}

function rest(form) {
  clearTimeout(form.late);
  if (!form.dataset.sending) return;
  delete form.dataset.sending;
  for (const button of $$("button", form)) {
    button.removeAttribute("aria-disabled");
    button.removeAttribute("aria-busy");
    if (button.restore) { button.replaceChildren(...button.restore); delete button.restore; button.style.minWidth = ""; }
  }
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  const pressed = event.submitter;
  if (form.method !== "post" || form.hasAttribute("data-theme-switch")) return;
  if (form.dataset.sending || pressed?.getAttribute("aria-disabled") === "true" || $("#live")?.dataset.state === "off") {
    event.preventDefault();
    form.again = Boolean(form.dataset.sending) && form.matches(".composer");
    if ($("#live")?.dataset.state === "off") $("#said").textContent = words.off;
    return;
  }
  const data = new FormData(form);
  if (pressed?.name) data.set(pressed.name, pressed.value);
  if (form.matches("[data-draft]")) kept(sessionStorage, draftKey(form), null);
  busy(form, pressed);
  if (!form.hasAttribute("data-swap")) return;
  // The form stays on the page: pressed again later, it is another event.
  if (data.has("nonce")) data.set("nonce", `${data.get("nonce")}.${Date.now().toString(36)}`);
  event.preventDefault();
  send(form, data);
});

async function send(form, data) {
  try {
    const answer = await fetch(form.action, { method: "post", body: new URLSearchParams(data), headers: { "X-Live": "1" }, credentials: "same-origin" });
    const text = await answer.text();
    const here = new URL(answer.url).pathname === location.pathname;
    rest(form);
    if (answer.status === 409) { keepDraft(form); await part(new Response(text)); return; }
    // A second thought before these words are sent: they wait in its field.
    if (answer.status === 422) { await part(new Response(text)); $("[data-focus]")?.focus(); return; }
    if (!answer.ok) throw new Error(String(answer.status));
    if (!here || !$$("[data-live]").length) { location.assign(answer.redirected ? answer.url : location.href); return; }
    // What was typed while these words were on their way is not wiped with them, and goes next if it was sent.
    if (form.matches(".composer") && form.elements.words.value === data.get("words")) form.reset();
    swap(new DOMParser().parseFromString(text, "text/html"));
    const log = $("[role=log]");
    if (log) { toEnd(log); $("#news")?.remove(); }
    if (form.matches(".menu")) form.closest("details")?.removeAttribute("open");
    if (form.again && form.elements.words.value.trim()) { form.again = false; form.requestSubmit(); }
  } catch {
    // The words stay where they are; the line says what to do.
    rest(form);
    $("#said").textContent = words.again;
    refresh();
  }
}

const draftKey = (form) => `draft:${form.dataset.draft}:${location.pathname}`;
const draftFields = (form) => [...form.elements].filter((e) => e.name && e.name !== "csrftoken" && !["hidden", "password", "file", "submit"].includes(e.type));

function keepDraft(form) {
  if (!form.matches("[data-draft]")) return;
  kept(sessionStorage, draftKey(form), JSON.stringify(draftFields(form).map((e) => (["checkbox", "radio"].includes(e.type) ? e.checked : e.value))));
}

function restoreDraft(form) {
  const draft = JSON.parse(kept(sessionStorage, draftKey(form)) ?? "null");
  if (!draft || $(".error-summary", form.parentElement)) return;
  draftFields(form).forEach((e, i) => {
    if (!(i in draft)) return;
    if (e.type === "checkbox" || e.type === "radio") e.checked = draft[i] === true;
    else if (!e.value || e.tagName === "SELECT") e.value = draft[i];
  });
}

document.addEventListener("input", (event) => {
  const form = event.target.closest?.("form[data-draft]");
  if (!form) return;
  keepDraft(form);
  const note = $("[data-drafted]", form);
  if (note) note.textContent = fill(words.kept, { time: clockTime() });
});

// ── The composer ──────────────────────────────────────────────────────
document.addEventListener("keydown", (event) => {
  const box = event.target;
  if (!box.matches?.(".composer textarea")) return;
  // 229: the IME is still choosing characters (Safari ends the composition before this Enter arrives).
  if (event.isComposing || event.keyCode === 229) return;
  if (event.key === "Enter" && !event.shiftKey && !event.altKey) {
    event.preventDefault();
    if (box.value.trim()) { kept(sessionStorage, "last-words", box.value); box.form.requestSubmit($(".send", box.form)); }
  } else if (event.key === "ArrowUp" && !box.value && !event.altKey) {
    const last = kept(sessionStorage, "last-words") ?? box.dataset.last;
    if (last) { event.preventDefault(); box.value = last; box.setSelectionRange(last.length, last.length); }
  }
});

// ── Theme ─────────────────────────────────────────────────────────────
document.addEventListener("submit", (event) => {
  const form = event.target;
  const theme = event.submitter?.value;
  if (!form.hasAttribute("data-theme-switch") || !theme) return;
  event.preventDefault();
  document.cookie = `theme=${theme}; path=/; max-age=31536000; samesite=lax${location.protocol === "https:" ? "; secure" : ""}`;
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  $$("button", form).forEach((b) => b.setAttribute("aria-pressed", String(b.value === theme)));
});

// ── Keys ──────────────────────────────────────────────────────────────
const places = { c: "/chat", b: "/board", d: "/today", t: "/town" };
const single = () => kept(localStorage, "single-keys") !== "off";
let gone = 0;
let cameFrom = null;

function openKeys() {
  const table = $("#keys");
  if (!table || table.open) return;
  cameFrom = document.activeElement;
  table.showModal();
}

function closePanel() {
  const open = $$("details.me[open], details.words[open], details.panel[open]").pop();
  if (!open) return false;
  open.open = false;
  $("summary", open).focus();
  return true;
}

function room(step, unread) {
  const rooms = $$("a.room");
  const now = rooms.findIndex((a) => a.hasAttribute("aria-current"));
  const order = step > 0 ? [...rooms.slice(now + 1), ...rooms.slice(0, Math.max(now, 0))] : [...rooms.slice(0, Math.max(now, 0)).reverse()];
  (unread ? order.find((a) => a.hasAttribute("data-unread")) : order[0])?.click();
}

document.addEventListener("keydown", (event) => {
  if (event.isComposing || event.ctrlKey || event.metaKey) return;
  if (event.altKey) {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (step && $("a.room")) { event.preventDefault(); room(step, event.shiftKey); }
    return;
  }
  if (event.key === "Escape") { closePanel(); return; }
  if (event.target.matches("input, textarea, select, [contenteditable]") || $("dialog[open]")) return;
  const list = event.target.closest?.("[data-roving]");
  if (list && rove(list, event)) return;
  if (!single()) return;
  const waiting = Date.now() - gone < 1500;
  gone = event.key === "g" ? Date.now() : 0;
  if (waiting && places[event.key]) location.assign(places[event.key]);
  else if (event.key === "?") { event.preventDefault(); openKeys(); }
  else if (event.key === "/") {
    const field = $("#words") ?? $("[type=search]");
    if (field) { event.preventDefault(); field.focus(); }
  }
});

const stops = (list) => [...list.children].map((li) => $("a, button", li)).filter(Boolean);

function rove(list, event) {
  const across = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  const along = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (!across && !along) return false;
  const here = stops(list).findIndex((e) => e.closest("li") === event.target.closest("li"));
  let target = stops(list)[here + (along ?? 0)];
  if (across) {
    const lists = $$("[data-roving]").filter((l) => stops(l).length && l.offsetParent && l.closest(".board") === list.closest(".board"));
    const beside = lists[lists.indexOf(list) + across];
    target = beside && stops(beside)[Math.min(here, stops(beside).length - 1)];
  }
  event.preventDefault();
  if (target) { settle(target.closest("[data-roving]"), target); target.focus(); }
  return true;
}

function settle(list, chosen) {
  const all = stops(list);
  const one = chosen ?? all.find((e) => e.tabIndex === 0 && e.dataset.stop) ?? all[0];
  // Only tiles are one stop a column; rows that hold a button of their own stay in the tab order.
  if (!list.closest(".column")) return;
  all.forEach((e) => { e.tabIndex = e === one ? 0 : -1; delete e.dataset.stop; });
  if (one) one.dataset.stop = "1";
}

// ── Small things ──────────────────────────────────────────────────────
document.addEventListener("click", (event) => {
  const at = event.target;
  if (at.closest("[data-open=keys]")) openKeys();
  if (at.closest("[data-reconnect]")) { listen(); refresh(); }
  if (at.closest("[data-print]")) print();
  for (const open of $$("details.me[open], details.call[open]")) if (!open.contains(at)) open.open = false;
  const off = at.closest("[aria-disabled=true]");
  if (off) { event.preventDefault(); event.stopImmediatePropagation(); }
}, true);
$("#keys")?.addEventListener("close", () => cameFrom?.focus());
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-single-keys]")) kept(localStorage, "single-keys", event.target.checked ? null : "off");
});

const startedAt = performance.now();
setInterval(() => {
  const passed = (performance.now() - startedAt) / 1000;
  for (const bar of $$("[data-undo]")) {
    bar.ends ??= passed + Number(bar.dataset.undo);
    const left = bar.ends - passed;
    if (left <= 0) { if (!bar.contains(document.activeElement)) bar.remove(); continue; }
    $(".left", bar).textContent = left < 60 ? words.soon : fill(words.left, { n: Math.ceil(left / 60) });
  }
}, 5000);

function enliven() {
  $$("[data-roving]").forEach((list) => settle(list));
  $$("[data-undo]").forEach((bar) => { bar.ends ??= (performance.now() - startedAt) / 1000 + Number(bar.dataset.undo); });
}

remember(document);
connectedAtStart();
function connectedAtStart() {
  const log = $("[role=log]");
  if (log) toEnd(log);
  $$("form[data-draft]").forEach(restoreDraft);
  $$("[data-open], [data-print]").forEach((e) => { e.hidden = false; });
  $$("[data-single-keys]").forEach((box) => { box.checked = single(); });
  $("[data-focus]")?.focus();
  const wide = matchMedia("(min-width: 62.51em)");
  const unfold = () => $$("details.words").forEach((d) => { d.open = wide.matches; });
  unfold();
  wide.addEventListener("change", unfold);
  const session = Number(document.body.dataset.session);
  if (session > 120) setTimeout(() => { $("#said").textContent = words.ending; const band = $("#offline"); band.hidden = false; $("p", band).textContent = words.ending; }, (session - 120) * 1000);
  enliven();
  listen();
}
