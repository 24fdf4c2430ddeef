/** Blocks the thread, milliseconds. For an agent's threads, which make synchronous calls anyway; never for a gateway. */
export function wait(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds)
}
