// The page: seconds come as server-sent events, templates and responses are asked for.

import { Panels, showBank, showTiles } from "./panels.js";
import { Table } from "./table.js";
import { make } from "./units.js";
import { Viewer } from "./watch.js";

const KEPT = 600;
const LEAST_S = 60; // that charts show, however young the server is
const SPANS = [["1 min", 60], ["5 min", 300], ["10 min", 600]];
const at = (id) => document.getElementById(id);

let panels = null;
let seconds = [];
let shown = 300;

function start() {
  for (const [label, length] of SPANS) {
    const button = make("button", { type: "button" }, label);
    button.setAttribute("aria-pressed", String(length === shown));
    button.addEventListener("click", () => {
      shown = length;
      for (const other of at("spans").children) other.setAttribute("aria-pressed", String(other === button));
      refresh();
    });
    at("spans").append(button);
  }
  const viewer = new Viewer();
  const table = new Table((handle) => {
    history.replaceState(null, "", `#${handle}`);
    open();
  });
  const open = () => {
    const handle = location.hash.slice(1);
    table.mark(handle);
    viewer.choose(handle);
  };
  window.addEventListener("hashchange", open);
  open();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    panels?.rebuild();
    refresh();
  });
  document.addEventListener("visibilitychange", () => document.hidden || refresh());
  listen();
}

function listen() {
  const events = new EventSource("api/events");
  events.addEventListener("state", (event) => {
    const state = JSON.parse(event.data);
    seconds = state.seconds;
    about(state.server);
    panels ??= new Panels(at("charts"), state.server.max_batch);
    link("live", "live");
    refresh();
  });
  events.addEventListener("second", (event) => {
    seconds.push(JSON.parse(event.data).second);
    seconds = seconds.slice(-KEPT);
    if (!document.hidden) refresh();
  });
  events.addEventListener("error", () => {
    link("lost", "no connection: is the server running, and are fewer than 8 pages open?");
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, 2000); // it does not try again by itself
  });
}

function refresh() {
  if (!panels || !seconds.length) return;
  const last = seconds.at(-1);
  const first = Math.min(seconds[0].t, last.t - LEAST_S);
  panels.update(seconds, [Math.max(first, last.t - shown), last.t]);
  showTiles(at("tiles"), seconds);
  showBank(last.bank);
}

function about({ version, device, models, started }) {
  const since = new Date(started * 1000).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
  at("about").textContent = [version, `on ${device}`, models.join(", "), `since ${since}`].filter(Boolean).join(" · ");
}

function link(state, text) {
  at("link").dataset.state = state;
  at("link").textContent = text;
}

start();
