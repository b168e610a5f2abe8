// A client of siamcorr, from the protos alone.
//
// Rules:
// - A message is a head that lists its tensors, and one payload with their bytes: little-endian, C order, one
//   after the other, in the order in which the message's fields name them. Here all are float32.
// - A typed array has the machine's own order of bytes: a big-endian machine is refused.
// - What arrives lies anywhere in a larger buffer, and a Float32Array must begin at a multiple of four: so a map
//   is copied.
// - protobufjs drops what it does not know without a word, misspelled fields and enum values too. Only numbers
//   and strings come from the caller here; the names are this file's own.

import { endianness } from "node:os";
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const PROTOS = fileURLToPath(new URL("../../protos/", import.meta.url));
const FILES = ["template_service", "correlation_service", "error"].map((name) => `siamcorr/v1/${name}.proto`);
const DEFINITIONS = loadSync(FILES, {
  includeDirs: [PROTOS],
  keepCase: true, // names as in the protos
  longs: Number, // sizes, ids and generations stay far below 2^53
  enums: String,
  defaults: true,
  oneofs: true,
});
const { CorrelationService, TemplateService } = grpc.loadPackageDefinition(DEFINITIONS).siamcorr.v1;
const MAX_MESSAGE_BYTES = 64 << 20; // the server's own bound; grpc-js receives 4 MiB if nothing is said
const TENSOR_NAME = "features"; // a template's tensors have names, also where there is only one
const TIMEOUT_MS = 10_000;

const KINDS = new Map(
  ["naive", "depthwise", "upchannel", "groupwise", "pixelwise", "grouped"].map((kind) => [
    kind,
    `KIND_${kind.toUpperCase()}`,
  ]),
);
const OUTPUTS = new Map(["map", "peaks", "both"].map((kind) => [kind, `OUTPUT_KIND_${kind.toUpperCase()}`]));

/** Features or a response map: `data` in C order, `shape` the size of each axis. */
export class Tensor {
  constructor(data, shape) {
    const size = shape.reduce((product, axis) => product * axis, 1);
    if (!(data instanceof Float32Array) || data.length !== size) {
      const found = `${data?.constructor?.name} of ${data?.length}`;
      throw new TypeError(`data: found ${found}, expected Float32Array of ${size}`);
    }
    this.data = data;
    this.shape = shape;
  }
}

/** What a failed call or a failed request of a stream says. */
export class SiamcorrError extends Error {
  /** `code`: gRPC's number. `reason`: the word for programs; empty where gRPC itself failed. `pushbackMs`: after
   *  how many milliseconds the server lets gRPC try again, below 0 never, undefined where it does not say. */
  constructor(message, { code, reason = "", metadata = {}, pushbackMs }) {
    super(message);
    this.name = "SiamcorrError";
    this.code = code;
    this.codeName = grpc.status[code];
    this.reason = reason;
    this.field = metadata.field;
    this.retryAfterS = metadata.retry_after_s === undefined ? undefined : Number(metadata.retry_after_s);
    this.pushbackMs = pushbackMs;
  }

  /** From a call that grpc-js has failed: the details are a google.rpc.Status in a trailer. */
  static ofCall(failure) {
    const [trailer] = failure.metadata?.get("grpc-status-details-bin") ?? [];
    const [pushback] = failure.metadata?.get("grpc-retry-pushback-ms") ?? [];
    const status = trailer ? DEFINITIONS["siamcorr.v1.Status"].deserialize(trailer) : { details: [] };
    const pushbackMs = pushback === undefined ? undefined : Number(pushback);
    return new SiamcorrError(failure.details, { code: failure.code, ...infoOf(status), pushbackMs });
  }

  /** From the Status that is a failed request's answer on a stream. */
  static ofStatus(status) {
    return new SiamcorrError(status.message, { code: status.code, ...infoOf(status) });
  }
}

/** A connection to a server. Every method returns a promise, and rejects with SiamcorrError. */
export class Client {
  constructor(address, { timeoutMs = TIMEOUT_MS } = {}) {
    if (endianness() !== "LE") throw new Error("this example needs a little-endian machine");
    const options = {
      "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
      "grpc.per_rpc_retry_buffer_size": MAX_MESSAGE_BYTES, // what is larger than this is sent only once
      "grpc.service_config": JSON.stringify(serviceConfig()),
    };
    const credentials = grpc.credentials.createInsecure();
    this.channel = new grpc.Channel(address, credentials, options);
    this.templates = new TemplateService(address, credentials, { channelOverride: this.channel });
    this.correlation = new CorrelationService(address, credentials, { channelOverride: this.channel });
    this.timeoutMs = timeoutMs;
  }

  /** Make a template of features, (C, h, w), and return its description: handle, generation, tensors... */
  async createTemplate(features) {
    const payload = new Payload();
    const request = { features: { tensors: [payload.add(features, TENSOR_NAME)] }, payload: payload.bytes() };
    const { templates } = await this.#call(this.templates, "CreateTemplate", request);
    return templates[0];
  }

  async deleteTemplate(handle) {
    await this.#call(this.templates, "DeleteTemplate", { template: handle });
  }

  /** Correlate templates with search regions, (N, C, H, W) or, of one, (C, H, W); one result for each pair. */
  async correlate(handles, features, options) {
    return answerOf(await this.#call(this.correlation, "Correlate", correlateRequest(handles, features, options)));
  }

  /** Open a stream: many requests in flight, answered as they are ready. */
  stream() {
    return new CorrelateStream(this.correlation.CorrelateStream());
  }

  close() {
    this.channel.close();
  }

  #call(service, method, request) {
    const options = { deadline: Date.now() + this.timeoutMs }; // of all attempts together
    return new Promise((resolve, reject) => {
      service[method](request, options, (failure, answer) =>
        failure ? reject(SiamcorrError.ofCall(failure)) : resolve(answer),
      );
    });
  }
}

/** One stream of correlate requests. An id tells which answer is whose. */
class CorrelateStream {
  #call;
  #waiting = new Map();
  #lastId = 0;

  constructor(call) {
    this.#call = call;
    call.on("data", (answer) => this.#answered(answer));
    call.on("error", (failure) => this.#ended(SiamcorrError.ofCall(failure)));
    call.on("end", () => this.#ended(new Error("the stream ended before the answer came")));
  }

  /** As Client.correlate. A request that fails rejects alone, and the stream goes on; nothing is tried again here:
   *  after QUEUE_FULL wait for the error's retryAfterS. */
  correlate(handles, features, { timeoutMs = TIMEOUT_MS, ...options } = {}) {
    const id = ++this.#lastId;
    const timeout = { seconds: Math.floor(timeoutMs / 1e3), nanos: Math.round((timeoutMs % 1e3) * 1e6) };
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#call.write({ id, timeout, request: correlateRequest(handles, features, options) });
    });
  }

  /** Say that no more requests come; the stream ends with its last answer. */
  end() {
    this.#call.end();
  }

  #answered({ id, outcome, error, response }) {
    const { resolve, reject } = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (outcome === "error") reject(SiamcorrError.ofStatus(error));
    else resolve(answerOf(response));
  }

  #ended(error) {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}

/** Lays tensors into a message's payload: the tensors' heads go where the message names them. */
class Payload {
  #parts = [];
  #sizeBytes = 0;

  add({ data, shape }, name = "") {
    const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    const place = { offset_bytes: this.#sizeBytes, length_bytes: bytes.length };
    this.#parts.push(bytes);
    this.#sizeBytes += bytes.length;
    return { name, dtype: "DATA_TYPE_FLOAT32", shape, ...place };
  }

  bytes() {
    return Buffer.concat(this.#parts);
  }
}

function correlateRequest(handles, features, { kind, gain, output = "map", topK = 1 } = {}) {
  const { data, shape } = features;
  const payload = new Payload();
  return {
    templates: handles,
    features: payload.add({ data, shape: shape.length === 3 ? [1, ...shape] : shape }),
    correlation: { kind: known(KINDS, kind, "kind"), ...(gain === undefined ? {} : { gain }) },
    output: { kind: known(OUTPUTS, output, "output"), top_k: topK },
    payload: payload.bytes(),
  };
}

function answerOf({ results, timings, payload }) {
  return {
    results: results.map(({ template, generation, map, peaks }) => ({
      template,
      generation,
      map: map && readTensor(map, payload),
      peaks,
    })),
    timings,
  };
}

function readTensor({ dtype, shape, offset_bytes, length_bytes }, payload) {
  if (dtype !== "DATA_TYPE_FLOAT32") throw new TypeError(`dtype: found ${dtype}, expected DATA_TYPE_FLOAT32`);
  const start = payload.byteOffset + offset_bytes;
  return new Tensor(new Float32Array(payload.buffer.slice(start, start + length_bytes)), shape);
}

function infoOf({ details }) {
  const packed = details.find(({ type_url }) => type_url.endsWith("/google.rpc.ErrorInfo"));
  return packed ? DEFINITIONS["siamcorr.v1.ErrorInfo"].deserialize(packed.value) : {};
}

function known(names, name, field) {
  if (names.has(name)) return names.get(name);
  throw new TypeError(`${field}: found ${name}, expected one of ${[...names.keys()].join(", ")}`);
}

/** Retries that gRPC makes by itself, when the server says: of a full queue always, of a lost connection only for
 *  what makes and changes nothing. */
function serviceConfig() {
  const retries = (name, retryableStatusCodes) => ({
    name,
    retryPolicy: {
      maxAttempts: 5,
      initialBackoff: "0.1s",
      maxBackoff: "1s",
      backoffMultiplier: 2,
      retryableStatusCodes,
    },
  });
  const reads = [{ service: "siamcorr.v1.CorrelationService", method: "Correlate" }];
  const writes = [{ service: "siamcorr.v1.TemplateService" }];
  return {
    methodConfig: [retries(reads, ["UNAVAILABLE", "RESOURCE_EXHAUSTED"]), retries(writes, ["RESOURCE_EXHAUSTED"])],
  };
}
