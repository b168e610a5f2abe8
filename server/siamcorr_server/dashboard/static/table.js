// The list of templates, the last used first. It is asked for again every two seconds while the page is seen.

import { ago, bytes, make } from "./units.js";

const EACH_MS = 2000;
const ROWS = 50;
const at = (id) => document.getElementById(id);

export class Table {
  constructor(choose) {
    this.choose = choose;
    this.skip = 0;
    this.chosen = "";
    at("filter").addEventListener("input", () => this.turn(0));
    at("previous").addEventListener("click", () => this.turn(Math.max(0, this.skip - ROWS)));
    at("next").addEventListener("click", () => this.turn(this.skip + ROWS));
    this.refresh();
    setInterval(() => document.hidden || this.refresh(), EACH_MS);
  }

  turn(skip) {
    this.skip = skip;
    this.refresh();
  }

  mark(handle) {
    this.chosen = handle;
    for (const row of at("rows").children) this.markRow(row);
  }

  markRow(row) {
    const isChosen = row.dataset.handle === this.chosen;
    row.classList.toggle("chosen", isChosen);
    row.querySelector("button")?.setAttribute("aria-pressed", String(isChosen));
  }

  async refresh() {
    const asked = (this.asked = (this.asked ?? 0) + 1);
    const query = new URLSearchParams({ filter: at("filter").value, skip: String(this.skip) });
    let list;
    try {
      const answer = await fetch(`api/templates?${query}`);
      if (!answer.ok) return;
      list = await answer.json();
    } catch {
      return; // the line at the top says that the server is gone
    }
    if (asked === this.asked) this.show(list);
  }

  show(list) {
    const focused = document.activeElement?.closest?.("#rows tr")?.dataset.handle;
    at("rows").replaceChildren(...list.templates.map((template) => this.row(template)));
    if (!list.templates.length) at("rows").append(this.emptyRow());
    if (focused) at("rows").querySelector(`[data-handle="${CSS.escape(focused)}"] button`)?.focus();
    const last = this.skip + list.templates.length;
    const many = list.matching > list.templates.length ? `${this.skip + 1}–${last} of ${list.matching.toLocaleString("en")}` : "";
    at("list-text").textContent = list.is_all ? many : `${many}, of the ${list.looked_at.toLocaleString("en")} oldest`;
    at("previous").disabled = this.skip === 0;
    at("next").disabled = last >= list.matching;
  }

  row(template) {
    const tensors = template.tensors.map(({ name, dtype, shape }) => {
      const kind = dtype === "float32" ? "" : ` ${dtype}`; // the usual one goes without saying
      return `${template.tensors.length > 1 ? `${name} ` : ""}${shape.join("×")}${kind}`;
    });
    const rest = template.tensors.length - 1;
    const shown = template.tensors[0].shape.join("×") + (rest ? ` +${rest}` : "");
    const button = make("button", { type: "button", title: template.handle }, brief(template.handle));
    const row = make(
      "tr",
      {},
      make("td", {}, button),
      make("td", { className: "number" }, String(template.generation)),
      make("td", {}, template.model ?? make("span", { className: "muted" }, "from features")),
      make("td", { title: tensors.join("\n") }, shown),
      make("td", { className: "number" }, bytes(template.bytes)),
      make("td", { className: "number" }, ago(template.idle_s)),
    );
    row.dataset.handle = template.handle;
    row.addEventListener("click", () => this.choose(template.handle));
    this.markRow(row);
    return row;
  }

  emptyRow() {
    const text = at("filter").value
      ? "No template matches the filter."
      : "No template yet: a tracker makes one with client.create_template(image=frame, box=box), or from features.";
    return make("tr", {}, make("td", { colSpan: 6, className: "empty" }, text));
  }
}

export const brief = (handle) => (handle.length > 14 ? `${handle.slice(0, 10)}…` : handle);
