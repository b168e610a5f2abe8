// Charts over time. uPlot draws them; the legend is ours: it names the unit, and tells the values under the
// pointer, or else the last ones.

import { clock, make } from "./units.js";

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** One card with a chart: series are { label, colour, of: (second) => number | null, format }. */
export class TimeChart {
  constructor(card, { series, stacked = false, isLog = false, format, empty }) {
    this.series = series;
    this.stacked = stacked;
    this.isLog = isLog;
    this.format = format;
    this.legend = make("ul", { className: "legend" });
    this.place = make("div", { className: "plot" });
    this.empty = make("p", { className: "empty over", hidden: true }, empty);
    card.append(this.legend, make("div", { className: "frame" }, this.place, this.empty));
    this.values = series.map((one) => {
      const value = make("b");
      const key = make("i");
      key.style.background = `var(--${one.colour})`;
      this.legend.append(make("li", { title: one.title ?? "" }, key, one.label, value));
      return value;
    });
    this.build();
    new ResizeObserver(() => this.plot.setSize(this.size())).observe(this.place);
  }

  size() {
    return { width: Math.max(this.place.clientWidth, 120), height: Math.max(this.place.clientHeight, 60) };
  }

  /** Draw anew, in the colours that the page has by now. */
  build() {
    this.plot?.destroy();
    const grid = { stroke: colour("line"), width: 1 };
    const decades = (_, values) => values.map((value) => (Number.isInteger(Math.log10(value)) ? value : null));
    const axis = { stroke: colour("muted"), font: "11px system-ui, sans-serif", grid, ticks: { show: false } };
    const drawn = this.order();
    this.plot = new uPlot(
      {
        ...this.size(),
        legend: { show: false },
        padding: [8, 22, 0, 0],
        cursor: { y: false, points: { show: !this.stacked, size: 6 }, drag: { x: false }, sync: { key: "time" } },
        scales: {
          x: { range: () => this.span ?? [0, 1] },
          y: this.isLog ? { distr: 3 } : { range: (_, __, most) => [0, Math.max((most ?? 0) * 1.1, 1e-3)] },
        },
        axes: [
          { ...axis, size: 24, gap: 4, space: 64, values: (_, times) => times.map((t) => clock(t, this.isShort)) },
          { ...axis, grid: this.isLog ? { ...grid, filter: decades } : grid, size: 48, gap: 4, space: 28, values: (_, values) => values.map((value) => (value == null ? null : this.format(value))) },
        ],
        series: [
          {},
          ...drawn.map((index) => ({
            stroke: colour(this.series[index].colour),
            fill: this.stacked ? colour(this.series[index].colour) : undefined,
            width: this.stacked ? 0 : 1.75,
            points: { show: false },
            spanGaps: false,
          })),
        ],
        hooks: { setCursor: [(plot) => this.tell(plot.cursor.idx)] },
      },
      this.data ?? [[], ...drawn.map(() => [])],
      this.place,
    );
  }

  /** Stacked, the highest is drawn first: each next one is drawn over it. */
  order() {
    const indices = this.series.map((_, index) => index);
    return this.stacked ? indices.reverse() : indices;
  }

  update(seconds, span) {
    this.span = span;
    this.isShort = span[1] - span[0] <= 120;
    this.rows = this.series.map((one) => seconds.map(one.of));
    let columns = this.rows;
    if (this.stacked) {
      const sums = seconds.map(() => 0);
      columns = this.rows.map((row) => row.map((value, at) => (sums[at] += value ?? 0)));
    }
    this.data = [seconds.map((second) => second.t), ...this.order().map((index) => columns[index])];
    this.plot.setData(this.data);
    this.empty.hidden = this.rows.some((row) => row.some((value) => value));
    this.tell(this.plot.cursor.idx);
  }

  tell(at) {
    if (!this.rows) return;
    this.rows.forEach((row, index) => {
      const value = at == null ? row.at(-1) : row[at];
      this.values[index].textContent = value == null ? "–" : (this.series[index].format ?? this.format)(value);
    });
  }
}

/** Bars side by side, each with its label under it. */
export class Bars {
  constructor(card, { labels, unit, empty }) {
    this.unit = unit;
    this.place = make("ol", { className: "bars" });
    this.empty = make("p", { className: "empty over", hidden: true }, empty);
    card.append(make("div", { className: "frame" }, this.place, this.empty));
    this.bars = labels.map((label) => {
      const value = make("b");
      const bar = make("span");
      this.place.append(make("li", {}, value, bar, make("em", {}, label)));
      return { value, bar, label };
    });
  }

  update(counts) {
    const most = Math.max(...counts, 1);
    const all = counts.reduce((sum, count) => sum + count, 0);
    this.bars.forEach(({ value, bar, label }, index) => {
      const share = all ? (100 * counts[index]) / all : 0;
      bar.style.height = `${(100 * counts[index]) / most}%`;
      value.textContent = share >= 0.5 ? `${Math.round(share)}%` : "";
      bar.title = `${label}: ${counts[index]} ${this.unit}`;
    });
    this.empty.hidden = all > 0;
  }
}

/** Names with a bar each, the most frequent first. */
export class Ranking {
  constructor(card, { colour: name, unit, empty, isBrief, explain = () => "" }) {
    Object.assign(this, { name, unit, emptyText: empty, explain });
    this.place = make("ul", { className: isBrief ? "ranking brief" : "ranking" });
    card.append(this.place);
  }

  update(counts) {
    const ranked = Object.entries(counts).sort((a, b) => b[1] - a[1]);
    const most = ranked[0]?.[1] ?? 1;
    this.place.replaceChildren(
      ...ranked.slice(0, 6).map(([label, count]) => {
        const bar = make("span");
        bar.style.width = `${(100 * count) / most}%`;
        bar.style.background = `var(--${this.name})`;
        const explained = this.explain(label);
        const text = make("p", {}, make("b", {}, label), ` ${count.toLocaleString("en")} ${this.unit}`);
        return make("li", { title: explained }, text, make("div", {}, bar), explained ? make("small", {}, explained) : "");
      }),
    );
    if (!ranked.length) this.place.append(make("li", { className: "empty" }, this.emptyText));
  }
}
