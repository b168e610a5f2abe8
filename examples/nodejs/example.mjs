// node example.mjs HOST:PORT [--json]
//
// What a tracker does, with features that a formula makes: so that any client can make the same ones and compare.

import { Client, SiamcorrError, Tensor } from "./siamcorr.mjs";

const CHANNELS = 64;
const AT = { row: 5, col: 9 };
const GAIN = 1 / 1024;

const [address, ...flags] = process.argv.slice(2);
if (!address || flags.some((flag) => flag !== "--json")) {
  console.error("usage: node example.mjs HOST:PORT [--json]");
  process.exit(2);
}

process.on("uncaughtException", (error) => {
  if (!(error instanceof SiamcorrError)) throw error;
  console.error(`${address}: ${error.codeName} ${error.message}`); // no server there, say
  process.exit(1);
});

/** Numbers from -1 to 1 that float32 has exactly: the upper 24 bits of a linear congruential generator. */
function features(seed, shape) {
  const data = new Float32Array(shape.reduce((product, axis) => product * axis, 1));
  let state = seed;
  for (let i = 0; i < data.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    data[i] = (state >>> 8) / 2 ** 23 - 1;
  }
  return new Tensor(data, shape);
}

/** Lay the template over a part of the search region: there the response must peak. */
function paste(template, search, { row, col }) {
  const [channels, height, width] = template.shape;
  const [, rows, cols] = search.shape;
  for (let c = 0; c < channels; c++) {
    for (let i = 0; i < height; i++) {
      const from = (c * height + i) * width;
      search.data.set(template.data.subarray(from, from + width), (c * rows + row + i) * cols + col);
    }
  }
}

/** Return the error that a promise must reject with. */
async function refusalOf(promise) {
  try {
    await promise;
  } catch (error) {
    if (error instanceof SiamcorrError) return error;
    throw error;
  }
  throw new Error("this call should have been refused");
}

const place = ({ row, col }) => `the peak at row ${row.toFixed(2)}, column ${col.toFixed(2)}`;
const told = ({ codeName, reason, field, pushbackMs, message }) => {
  return { codeName, reason, field, pushbackMs, message };
};
const found = ({ results: [{ generation, map, peaks }] }) => ({
  generation,
  shape: map.shape,
  map: [...map.data],
  peak: peaks[0],
});

const template = features(1, [CHANNELS, 6, 6]);
const search = features(2, [CHANNELS, 22, 22]);
paste(template, search, AT);

const client = new Client(address);
const { handle } = await client.createTemplate(template);
const answers = {};
for (const kind of ["naive", "depthwise"]) {
  answers[kind] = found(await client.correlate([handle], search, { kind, gain: GAIN, output: "both" }));
}

const stream = client.stream();
const options = { kind: "naive", gain: GAIN, output: "peaks", topK: 1 };
const asked = [2, 3, 4].map((seed) => {
  const region = features(seed, search.shape);
  paste(template, region, { row: seed, col: 2 * seed });
  return stream.correlate([handle], region, options);
});
const spoilt = refusalOf(stream.correlate([handle], features(5, [CHANNELS + 1, 22, 22]), options));
answers.stream = (await Promise.all(asked)).map(({ results: [{ peaks }] }) => peaks[0]);
answers.refusedOnStream = told(await spoilt);
stream.end();

answers.refused = told(await refusalOf(client.correlate([handle], features(5, [CHANNELS + 1, 22, 22]), options)));
await client.deleteTemplate(handle);
answers.deleted = told(await refusalOf(client.correlate([handle], search, options)));
client.close();

if (flags.includes("--json")) {
  console.log(JSON.stringify(answers));
} else {
  for (const kind of ["naive", "depthwise"]) {
    console.log(`${kind}: a map of ${answers[kind].shape.join("x")}, ${place(answers[kind].peak)}`);
  }
  for (const peak of answers.stream) console.log(`stream: ${place(peak)}`);
  for (const name of ["refused", "refusedOnStream", "deleted"]) {
    const { codeName, reason, pushbackMs, message } = answers[name];
    console.log(`${name}: ${codeName} ${reason}, pushback ${pushbackMs ?? "not told"}: ${message}`);
  }
}
