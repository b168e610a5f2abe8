// What the charts and tiles show of the seconds that the server tells.

import { Bars, Ranking, TimeChart } from "./charts.js";
import { bytes, make, milliseconds, rate, short } from "./units.js";

const BATCHES = ["1", "2", "≤4", "≤8", "≤16", "≤32", "≤64", "≤128", "≤256", "≤512", "≤1k", "≤2k", ">2k"];
const OVERLOAD = ["RESOURCE_EXHAUSTED", "UNAVAILABLE"];
const LATE = ["DEADLINE_EXCEEDED", "CANCELLED"];

const REASONS = {
  QUEUE_FULL: "more came than the device could take: callers try again",
  BANK_FULL: "no room for another template: raise --template-bytes, or --evict lru",
  DRAINING: "the server is stopping",
  DEADLINE_EXCEEDED: "the answer was not ready in the caller's time",
  CANCELLED: "the caller gave up",
  TEMPLATE_NOT_FOUND: "no such template, or deleted",
  TEMPLATE_EXPIRED: "not used for its whole time to live (--template-ttl)",
  TEMPLATE_EVICTED: "dropped to make room for another",
  MODEL_NOT_FOUND: "no such model: see --model",
  INVALID_ARGUMENT: "the request is wrong: its error names the field",
  INTERNAL: "a fault of the server: see its log",
};

const sum = (values) => values.reduce((total, value) => total + value, 0);
const some = (codes) => (second) => sum(codes.map((code) => second.requests[code] ?? 0));
const failed = (second) => sum(Object.values(second.requests)) - some(["OK", ...OVERLOAD, ...LATE])(second);
const stage = (index) => (second) => second.stages_ms?.[index] ?? null;
const quantile = (index) => (second) => second.latency_ms?.[index] ?? null;

const NO_TRAFFIC = "No request in this time.";

const CHARTS = [
  {
    title: "Requests", unit: "per second, by outcome", wide: true,
    options: {
      stacked: true, format: rate, empty: NO_TRAFFIC,
      series: [
        { label: "answered", colour: "good", of: some(["OK"]) },
        { label: "late", colour: "c2", of: some(LATE), title: "past its deadline, or given up by its caller" },
        { label: "overload", colour: "warn", of: some(OVERLOAD), title: "refused: more came than could be taken" },
        { label: "failed", colour: "bad", of: failed, title: "wrong requests, and faults of the server" },
      ],
    },
  },
  {
    title: "Latency", unit: "of a correlation, inside the server", wide: true,
    options: {
      isLog: true, format: milliseconds, empty: "No correlation in this time.",
      series: [
        { label: "median", colour: "c1", of: quantile(0), title: "half of them are faster" },
        { label: "p95", colour: "c3", of: quantile(1), title: "1 in 20 is slower" },
        { label: "p99", colour: "c4", of: quantile(2), title: "1 in 100 is slower" },
      ],
    },
  },
  {
    title: "Where the time goes", unit: "mean of a correlation", wide: true,
    options: {
      stacked: true, format: milliseconds, empty: "No correlation in this time.",
      series: [
        { label: "decode, crop", colour: "c5", of: stage(0), title: "from a frame to its crops" },
        { label: "wait", colour: "c2", of: stage(1), title: "in the queue, for the device" },
        { label: "features", colour: "c3", of: stage(2), title: "from crops to features, or in one go to a network's maps" },
        { label: "correlate", colour: "c1", of: stage(3), title: "correlation, head and peaks" },
        { label: "copy", colour: "c6", of: stage(4), title: "to the device and back" },
        { label: "rest", colour: "c7", of: stage(5), title: "messages and the event loop" },
      ],
    },
  },
  {
    title: "Batches", unit: "pairs in a launch, last minute", kind: Bars,
    options: { labels: [], unit: "launches in the last minute", empty: "No launch in the last minute." },
    pick: (seconds) => seconds.slice(-60).reduce((all, second) => all.map((n, i) => n + second.batches[i]), BATCHES.map(() => 0)),
  },
  {
    title: "Queue", unit: "jobs that wait",
    options: {
      format: short, empty: "Nothing waits.",
      series: [
        { label: "device", colour: "c1", of: (second) => second.queues.device.waiting },
        { label: "frames", colour: "c5", of: (second) => second.queues.frames.waiting, title: "to be decoded and cropped" },
      ],
    },
  },
  {
    title: "Longest wait", unit: "of a job that waits by now",
    options: {
      format: milliseconds, empty: "Nothing waits.",
      series: [
        { label: "device", colour: "c1", of: (second) => second.queues.device.oldest_ms },
        { label: "frames", colour: "c5", of: (second) => second.queues.frames.oldest_ms },
      ],
    },
  },
  {
    title: "Launches", unit: "per second",
    options: {
      format: rate, empty: "No launch in this time.",
      series: [{ label: "now", colour: "c1", of: (second) => second.launches }],
    },
    more: { isBrief: true, unit: "", colour: "c1", empty: "", pick: (seconds) => counted(seconds, "plans") },
  },
  {
    title: "Refused or failed", unit: "requests, by reason", kind: Ranking,
    options: { colour: "bad", unit: "", empty: "None: every request was answered.", explain: (reason) => REASONS[reason] ?? "" },
    pick: (seconds) => counted(seconds, "errors"),
  },
];

function counted(seconds, field) {
  const all = {};
  for (const second of seconds) {
    for (const [name, count] of Object.entries(second[field])) all[name] = (all[name] ?? 0) + count;
  }
  return all;
}

export class Panels {
  constructor(place, maxBatch) {
    const bins = Math.min(Math.ceil(Math.log2(Math.max(maxBatch, 1))) + 1, BATCHES.length);
    this.panels = CHARTS.flatMap(({ title, unit, wide, kind = TimeChart, options, pick, more }) => {
      const card = make("article", { className: wide ? "card wide" : "card" }, make("h2", {}, title, " ", make("small", {}, unit)));
      place.append(card);
      const labels = kind === Bars ? { labels: BATCHES.slice(0, bins) } : {};
      const chart = new kind(card, { ...options, ...labels });
      return [{ chart, pick }, ...(more ? [{ chart: new Ranking(card, more), pick: more.pick }] : [])];
    });
  }

  update(seconds, span) {
    const shown = seconds.filter((second) => second.t >= span[0]);
    for (const { chart, pick } of this.panels) {
      if (pick) chart.update(pick(shown, seconds));
      else chart.update(shown, span);
    }
  }

  rebuild() {
    for (const { chart } of this.panels) chart.build?.();
  }
}

/** The numbers of this moment; load is the mean of the last five seconds, so that it can be read. */
export function showTiles(place, seconds) {
  const last = seconds.at(-1);
  const few = seconds.slice(-5);
  const minute = seconds.slice(-60);
  const launches = sum(minute.flatMap((second) => second.batches));
  const pairs = sum(minute.map((second) => second.pairs));
  const troubled = sum(minute.map((second) => sum(Object.values(second.errors))));
  const [median, , worst] = last.minute_latency_ms ?? [];
  const answered = sum(minute.map((second) => sum(Object.values(second.requests)))) - troubled;
  const tiles = [
    ["Requests", rate(sum(few.flatMap((second) => Object.values(second.requests))) / few.length), "per second"],
    ["Median latency", median === undefined ? "–" : milliseconds(median), "last minute"],
    ["p99 latency", worst === undefined ? "–" : milliseconds(worst), "1 in 100 is slower"],
    ["Batch", launches ? short(pairs / launches) : "–", "pairs in a launch, mean"],
    ["Waiting", short(last.queues.device.waiting + last.queues.frames.waiting), `jobs; ${last.in_flight} calls in flight`],
    ["Templates", last.bank.templates.toLocaleString("en"), `${bytes(last.bank.bytes)} resident`],
    ["Refused or failed", troubled.toLocaleString("en"), answered + troubled ? "in the last minute" : "no request lately", troubled > 0],
  ];
  place.replaceChildren(
    ...tiles.map(([label, value, note, isBad]) =>
      make("div", { className: isBad ? "tile bad" : "tile" }, make("h3", {}, label), make("p", {}, value), make("small", {}, note)),
    ),
  );
}

export function showBank(bank) {
  const used = bank.budget_bytes ? Math.min(1, bank.bytes / bank.budget_bytes) : 0;
  const bar = document.getElementById("bank-bar");
  bar.firstElementChild.style.width = `${Math.max(100 * used, bank.bytes ? 0.5 : 0)}%`;
  bar.dataset.full = used > 0.9;
  const text = `${bytes(bank.bytes)} of ${bytes(bank.budget_bytes)} used`;
  bar.setAttribute("aria-label", text);
  document.getElementById("bank-count").textContent = `${bank.templates.toLocaleString("en")} resident, ${bank.leased} in use now`;
  document.getElementById("bank-text").textContent = `${text} · ${bank.evicted} evicted · ${bank.expired} expired since the start`;
}
