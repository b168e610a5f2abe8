// The viewer: what was answered about a chosen template last. To ask is to watch: the server copies answers
// for as long as somebody asks, and stops seconds after.

import { cells, draw, drawRamp, pictureOf } from "./heat.js";
import { brief } from "./table.js";
import { ago, make, short } from "./units.js";

const EACH_MS = 500;
const at = (id) => document.getElementById(id);

const IDLE = "Choose a template in the list to see where its last responses were high, drawn over the region that was searched.";
const WAITING = "Watching. Nothing has been correlated with this template since: its next response will be here.";

export class Viewer {
  constructor() {
    this.handle = "";
    drawRamp(at("ramp"));
    at("map").addEventListener("change", () => this.look(`${at("map").value}:sum`));
    at("channel").addEventListener("change", () => this.look(`${at("map").value}:${at("channel").value}`));
    for (const id of ["range", "opacity", "smooth"]) at(id).addEventListener("input", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(at("viewer-body"));
    this.say(IDLE);
    setInterval(() => document.hidden || this.ask(), EACH_MS);
  }

  choose(handle) {
    this.handle = handle;
    at("watched").textContent = handle ? brief(handle) : "";
    at("watched").title = handle;
    this.found = null;
    this.view = "";
    this.say(handle ? WAITING : IDLE);
    this.look("");
  }

  look(view) {
    this.view = view;
    this.since = "";
    this.ask();
  }

  say(text) {
    at("viewer-empty").textContent = text;
    at("viewer-empty").hidden = !text;
    at("viewer-body").hidden = Boolean(text);
  }

  async ask() {
    if (!this.handle || (this.isAsking && this.since !== "")) return;
    const asked = (this.asked = (this.asked ?? 0) + 1);
    this.isAsking = true;
    const query = new URLSearchParams({ handle: this.handle, view: this.view, since: this.since });
    try {
      const answer = await fetch(`api/watch?${query}`);
      if (!answer.ok) {
        this.say(await trouble(answer));
        if (answer.status === 404) this.handle = "";
        return;
      }
      const found = await answer.json();
      if (asked === this.asked) await this.take(found);
    } catch {
      // the line at the top says that the server is gone
    } finally {
      this.isAsking = false;
    }
  }

  async take(found) {
    if (!found.is_new) {
      if (!this.found) this.say(WAITING);
      return this.tellAge(found.age_s);
    }
    this.since = String(found.number);
    this.found = found;
    this.picture = found.picture && (await pictureOf(found.picture));
    this.say("");
    this.offer(found);
    this.draw();
  }

  /** Fill the lists of maps and channels, if this template's are others. */
  offer({ maps, map }) {
    const signature = JSON.stringify([maps, map?.name]);
    if (signature !== this.offered) {
      this.offered = signature;
      at("map").replaceChildren(
        ...maps.map(({ name, shape }) => make("option", { value: name }, `${name === "map" ? "response" : name} ${shape.join("×")}`)),
      );
      const chosen = maps.find(({ name }) => name === map.name);
      const named = { score: "target's score", sum: "sum of all" };
      at("channel").replaceChildren(
        ...(chosen?.ways ?? []).map((way) => make("option", { value: way }, named[way])),
        ...Array.from({ length: chosen?.shape[0] ?? 0 }, (_, index) => make("option", { value: String(index) }, String(index))),
      );
    }
    at("map-label").hidden = maps.length < 2;
    at("channel-label").hidden = !(maps.find(({ name }) => name === map?.name)?.shape[0] > 1);
    if (map) [at("map").value, at("channel").value] = [map.name, map.channel];
  }

  draw() {
    const { found, picture } = this;
    if (!found || at("viewer-body").hidden) return;
    const { map } = found;
    const range = this.range();
    const size = found.picture ? [found.picture.width, found.picture.height] : [map?.cols ?? 1, map?.rows ?? 1];
    const placing = found.placing && found.picture ? found.placing : { x0: 0, y0: 0, step_x: 1, step_y: 1 };
    const peaks = found.peaks.length ? found.peaks : map ? [map.peak] : [];
    const opacity = at("opacity").value / 100;
    draw(at("heat"), { picture, size, map, placing, range, opacity, isSmooth: at("smooth").checked, peaks });
    at("scale").hidden = !map;
    [at("low").textContent, at("high").textContent] = range.map(short);
    this.tell(peaks[0]);
    this.drawStrip();
  }

  range() {
    const { map, strip } = this.found;
    if (!map) return [0, 1];
    const shown = at("range").value === "strip" ? strip : [map];
    return [Math.min(...shown.map(({ low }) => low)), Math.max(...shown.map(({ high }) => high))];
  }

  tell(peak) {
    const { found } = this;
    const facts = [
      ["Peak", peak ? short(peak.score) : "–", "how high the response is there"],
      ["PSR", peak ? short(peak.psr) : "–", "peak-to-sidelobe ratio: how far it stands out from the rest; above 7 or so is sure"],
      ["Cell", peak ? `${peak.row.toFixed(1)}, ${peak.col.toFixed(1)}` : "–", "row, column in the map"],
      ["Generation", String(found.generation), "of the template; grows with each update"],
      ["Kind", found.kind, "of correlation"],
      ["Computed by", found.plan, "the way that was chosen for these shapes"],
      ["Batch", String(found.pairs), "pairs in the launch"],
      ["Answered", ago(found.age_s), "when"],
    ];
    at("facts").replaceChildren(
      ...facts.map(([name, value, title]) => make("div", { title }, make("dt", {}, name), make("dd", {}, value))),
    );
    at("note").textContent = this.note();
    at("note").hidden = !at("note").textContent;
  }

  note() {
    const { found } = this;
    const notes = [];
    if (found.too_large) notes.push("The maps are too large to be kept for this page.");
    else if (!found.map) notes.push('The caller asked for peaks alone (output="peaks"), so there is no map: the crosses are the peaks.');
    if (!found.picture) notes.push("The search region is too large to be kept for this page.");
    else if (found.picture.what === "features") notes.push("The caller sent features, so there is no picture: behind the map is how strong they are, cell by cell.");
    if (found.map?.not_finite) notes.push(`${found.map.not_finite} cells are not finite; they are drawn as the lowest.`);
    return notes.join(" ");
  }

  tellAge(seconds) {
    const last = at("facts").lastElementChild?.lastElementChild;
    if (last && seconds !== null) last.textContent = ago(seconds);
  }

  drawStrip() {
    const { strip } = this.found;
    const range = this.range();
    const isShared = at("range").value === "strip";
    at("strip").replaceChildren(
      ...strip.map((one) => {
        const canvas = cells(one, isShared ? range : [one.low, one.high], false);
        canvas.setAttribute("role", "img");
        canvas.setAttribute("aria-label", `response ${one.number}, peak ${short(one.peak.score)}`);
        const caption = make("small", {}, make("b", {}, short(one.peak.score)), ` g${one.generation}`);
        return make("li", { title: `generation ${one.generation}, PSR ${short(one.peak.psr)}` }, canvas, caption);
      }),
    );
    at("strip").hidden = at("strip").previousElementSibling.hidden = strip.length < 2;
  }
}

async function trouble(answer) {
  if (answer.status === 404) return "This template is gone: it was deleted, evicted, or expired. Choose another one.";
  if (answer.status === 429) return "Too many templates are watched already, by other pages. Close one of them.";
  return (await answer.text()).trim();
}
