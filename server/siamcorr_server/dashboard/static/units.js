// Numbers as people read them. A unit is part of the text, and a text is as wide as its number needs.

export const rate = (value) => (value >= 100 ? Math.round(value).toLocaleString("en") : short(value));

export function short(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e5 || size < 1e-3) return value.toExponential(1).replace("e+", "e");
  return size >= 1000 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3)));
}

export function milliseconds(value) {
  if (value >= 1000) return `${short(value / 1000)} s`;
  return value > 0 && value < 0.1 ? `${short(value * 1000)} µs` : `${short(value)} ms`;
}

export function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; value >= 1024 && unit < units.length - 1; unit += 1) value /= 1024;
  return `${Number(value.toPrecision(3))} ${units[unit]}`;
}

export function ago(seconds) {
  if (seconds < 1) return "now";
  if (seconds < 60) return `${Math.round(seconds)} s ago`;
  return seconds < 3600 ? `${Math.round(seconds / 60)} min ago` : `${short(seconds / 3600)} h ago`;
}

export const clock = (unix, withSeconds) =>
  new Date(unix * 1000).toLocaleTimeString("en-GB", {
    hour: "2-digit",
    minute: "2-digit",
    second: withSeconds ? "2-digit" : undefined,
  });

/** Make an element: make("p", { className: "muted" }, "text", child). */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}
