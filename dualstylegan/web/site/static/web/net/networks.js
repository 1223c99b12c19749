// The exported graphs in onnxruntime-web, on one thread or several, or on the graphics processor.

import { INPUT_PX } from "../face/detect.js";

const MAX_THREADS = 4;
const WEIGHTS = "weights.bin";

// Return the runtime that computes on the processor: its module and its WebAssembly.
export const processorOf = (runtimes) => ({ ...runtimes.wasm, provider: "wasm" });

// Return the runtime of this browser, of those in site.json.
export async function chooseRuntime(runtimes) {
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  return adapter ? { ...runtimes.webgpu, provider: "webgpu" } : processorOf(runtimes);
}

export const threads = () =>
  (globalThis.crossOriginIsolated ? Math.min(MAX_THREADS, navigator.hardwareConcurrency || 1) : 1);

export class Networks {
  // ort: the runtime's module; provider: of what renders.
  constructor(ort, provider) {
    Object.assign(this, { ort, provider, sessions: {} });
  }

  // Start the runtime with its WebAssembly.
  static async start(address, wasm, provider) {
    const ort = await import(address);
    ort.env.wasm.wasmBinary = wasm;
    ort.env.wasm.numThreads = threads();
    ort.env.logLevel = "error";
    return new Networks(ort, provider);
  }

  // Open a graph. shared: weights outside of its file; null: none.
  async open(name, file, shared = null, provider = "wasm") {
    const options = { executionProviders: [provider], graphOptimizationLevel: "all" };
    if (shared) options.externalData = [{ path: WEIGHTS, data: new Uint8Array(shared) }];
    this.sessions[name] = await this.ort.InferenceSession.create(new Uint8Array(file), options);
  }

  has(name) {
    return name in this.sessions;
  }

  // Run a graph; inputs: [shape, values] by name. Returns all outputs by name.
  async run(name, inputs) {
    const feed = {};
    for (const [input, [shape, values]] of Object.entries(inputs)) {
      feed[input] = new this.ort.Tensor("float32", values, shape);
    }
    const outputs = await this.sessions[name].run(feed), values = {};
    for (const [output, tensor] of Object.entries(outputs)) {
      values[output] = await tensor.getData();
      tensor.dispose();
    }
    return values;
  }

  // Run a graph of one output.
  async one(name, inputs) {
    return Object.values(await this.run(name, inputs))[0];
  }

  // Return the detector as a function.
  detector() {
    const [input] = this.sessions.detector.inputNames;
    return (planes) => this.run("detector", { [input]: [[1, 3, INPUT_PX, INPUT_PX], planes] });
  }
}
