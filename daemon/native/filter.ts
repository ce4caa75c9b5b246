/** Classic BPF programs for SO_ATTACH_FILTER (Linux: Documentation/networking/filter.rst). */
import { loadKoffi } from './libc.ts';

/** `struct sock_filter`: code, where to jump on true and on false, constant. */
export interface Instruction {
  readonly code: number;
  readonly jt?: number;
  readonly jf?: number;
  readonly k?: number;
}

/** Load the 16 bits at k, in network order. */
export const BPF_LDH_ABS = 0x28;
/** Jump by whether the accumulator equals k. */
export const BPF_JEQ_K = 0x15;
/** Keep k bytes of the packet; 0 drops it. */
export const BPF_RET_K = 0x06;

/** The option's value, a `struct sock_fprog`; the program behind it is kept for the life of the process: make each once. */
export function makeFilter(instructions: readonly Instruction[]): Uint8Array {
  const koffi = loadKoffi();
  const program = koffi.alloc('uint64_t', instructions.length);
  const view = new DataView(koffi.view(program, 8 * instructions.length));
  const little = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;
  for (const [index, { code, jt = 0, jf = 0, k = 0 }] of instructions.entries()) {
    view.setUint16(8 * index, code, little);
    view.setUint8(8 * index + 2, jt);
    view.setUint8(8 * index + 3, jf);
    view.setUint32(8 * index + 4, k, little);
  }
  const fprog = new BigUint64Array([0n, BigInt(koffi.address(program))]);
  new Uint16Array(fprog.buffer)[0] = instructions.length;
  return new Uint8Array(fprog.buffer);
}
