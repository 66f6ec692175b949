// Recurrent network as a wasm module: const { Stream } = await load(bytes).
// Node: load(await readFile("$name.wasm")). Browser: load(await (await fetch("$name.wasm")).arrayBuffer()).

const STATE_BYTES = $state_bytes;
const STATE_ALIGNMENT = $state_alignment;
const SAVED_FLOATS = $saved_floats;
export const INPUT_SIZE = $input_size;
export const OUTPUT_SIZE = $output_size;
const REFUSED = { 1: "contains a non-finite value", 2: "produces a non-finite value" };

export async function load(bytes) {
  const { instance } = await WebAssembly.instantiate(bytes, {});
  const library = instance.exports;
  const memory = library.memory;
  let free = library.__heap_base.value;

  function take(nbytes) {
    const place = Math.ceil(free / STATE_ALIGNMENT) * STATE_ALIGNMENT;
    free = place + nbytes;
    const missing = free - memory.buffer.byteLength;
    if (missing > 0) memory.grow(Math.ceil(missing / 65536));
    return place;
  }

  // Stream over one sequence. Its memory is allocated here and never freed: call reset() to reuse a stream.
  class Stream {
    constructor() {
      this.state = take(STATE_BYTES);
      this.x = take(4 * INPUT_SIZE);
      this.y = take(4 * OUTPUT_SIZE);
      this.saved = take(4 * SAVED_FLOATS);
      if (library.${name}_self_test(this.state) !== 0) throw new Error("$name: the self-test failed");
    }

    step(x) {
      if (x.length !== INPUT_SIZE) throw new RangeError(`step got $${x.length} numbers, expected $${INPUT_SIZE}`);
      new Float32Array(memory.buffer, this.x, INPUT_SIZE).set(x);
      const status = library.${name}_step(this.x, this.y, this.state);
      if (status !== 0) throw new RangeError(`step got a sample that $${REFUSED[status]}; the state is unchanged`);
      return new Float32Array(memory.buffer, this.y, OUTPUT_SIZE).slice();
    }

    reset() {
      library.${name}_reset(this.state);
    }

    save() {
      library.${name}_save(this.state, this.saved);
      return new Float32Array(memory.buffer, this.saved, SAVED_FLOATS).slice();
    }

    restore(saved) {
      new Float32Array(memory.buffer, this.saved, SAVED_FLOATS).set(saved);
      if (library.${name}_restore(this.state, this.saved) !== 0) throw new RangeError("restore got non-finite values");
    }
  }
  return { Stream };
}
