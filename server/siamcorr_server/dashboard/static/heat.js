// A response map over the picture of its search region.
//
// Coordinates: a picture's first pixel has its middle at 0, and so reaches from -0.5 to 0.5. A map's cell is
// drawn as large as its step, with its middle where the server places it.

const STOPS = ["000004", "1b0c41", "4a0c6b", "781c6d", "a52c60", "cf4446", "ed6925", "fb9b06", "f7d13d", "fcffa4"];

/** From dark violet to yellow: 256 colours (r, g, b), as even to the eye as its ten stops are. */
export const RAMP = Array.from({ length: 256 }, (_, index) => {
  const at = (index / 255) * (STOPS.length - 1);
  const from = Math.min(Math.floor(at), STOPS.length - 2);
  const [low, high] = [STOPS[from], STOPS[from + 1]].map((hex) => [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16)));
  return low.map((value, i) => Math.round(value + (high[i] - value) * (at - from)));
});

export function drawRamp(canvas) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(256, 1);
  RAMP.forEach((colour, index) => image.data.set([...colour, 255], 4 * index));
  context.putImageData(image, 0, 0);
}

export function valuesOf(base64) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}

/** A picture with one pixel a cell. Over a picture, what is low lets it through. */
export function cells({ rows, cols, values }, [low, high], isOver) {
  const canvas = document.createElement("canvas");
  canvas.width = cols;
  canvas.height = rows;
  const context = canvas.getContext("2d");
  const image = context.createImageData(cols, rows);
  const numbers = typeof values === "string" ? valuesOf(values) : values;
  for (let index = 0; index < numbers.length; index += 1) {
    const share = high > low ? Math.min(1, Math.max(0, (numbers[index] - low) / (high - low))) : 0;
    image.data.set(RAMP[Math.round(share * 255)], 4 * index);
    image.data[4 * index + 3] = isOver ? 255 * (0.25 + 0.75 * share) : 255;
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

export async function pictureOf({ png }) {
  const bytes = Uint8Array.from(atob(png), (letter) => letter.charCodeAt(0));
  return createImageBitmap(new Blob([bytes], { type: "image/png" }));
}

/** Where a map's border lies: [x, y, width, height] in pixels of the picture, from its outer corner. */
export function borders({ rows, cols }, { x0, y0, step_x: stepX, step_y: stepY }) {
  return [x0 + 0.5 - stepX / 2, y0 + 0.5 - stepY / 2, cols * stepX, rows * stepY];
}

/** Draw a scene: { picture, size: [w, h], map, placing, range, opacity, isSmooth, peaks }. */
export function draw(canvas, scene) {
  const ratio = window.devicePixelRatio || 1;
  const shownWidth = canvas.clientWidth || 400;
  const [width, height] = scene.size;
  canvas.width = Math.round(shownWidth * ratio);
  canvas.height = Math.round((shownWidth * ratio * height) / width);
  const context = canvas.getContext("2d");
  const scale = canvas.width / width;
  context.fillStyle = "#000";
  context.fillRect(0, 0, canvas.width, canvas.height);
  if (scene.picture) {
    context.imageSmoothingEnabled = scene.isSmooth && width > 64; // features are cells, and shown as such
    context.drawImage(scene.picture, 0, 0, canvas.width, canvas.height);
  }
  if (scene.map) {
    const border = borders(scene.map, scene.placing).map((value) => value * scale);
    context.imageSmoothingEnabled = scene.isSmooth;
    context.imageSmoothingQuality = "high";
    context.globalAlpha = scene.picture ? scene.opacity : 1;
    context.drawImage(cells(scene.map, scene.range, Boolean(scene.picture)), ...border);
    context.globalAlpha = 1;
    context.strokeStyle = "rgba(255, 255, 255, 0.35)";
    context.lineWidth = ratio;
    context.setLineDash([4 * ratio, 4 * ratio]);
    context.strokeRect(...border);
    context.setLineDash([]);
  }
  scene.peaks.forEach((peak, index) => drawPeak(context, peak, scene.placing, scale, ratio, index === 0));
}

function drawPeak(context, { row, col }, placing, scale, ratio, isBest) {
  const x = (placing.x0 + col * placing.step_x + 0.5) * scale;
  const y = (placing.y0 + row * placing.step_y + 0.5) * scale;
  const [inner, outer] = isBest ? [5 * ratio, 15 * ratio] : [3 * ratio, 8 * ratio];
  for (const [style, width] of [["rgba(0, 0, 0, 0.8)", 4.5], ["#fff", 2]]) {
    context.strokeStyle = style;
    context.lineWidth = width * ratio;
    context.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      context.moveTo(x + dx * inner, y + dy * inner);
      context.lineTo(x + dx * outer, y + dy * outer);
    }
    context.stroke();
  }
}
