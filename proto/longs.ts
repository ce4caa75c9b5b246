/**
 * The runtime of the generated code, with 64-bit integers as JavaScript numbers, as the generated types say: exact up to 2^53. The
 * generated code imports it from here and nowhere else: it takes the zero of an absent field from what it finds, so that an order of
 * imports would not do, which a bundler may change.
 */
import protobuf from 'protobufjs/minimal.js';

// protobufjs depends on `long` and decodes to its objects whenever it is there; `--force-number` changes only the types.
Object.assign(protobuf.util, { Long: null });
protobuf.configure();

// biome-ignore lint/style/noDefaultExport: the generated code asks for it by that name
export { protobuf as default };
