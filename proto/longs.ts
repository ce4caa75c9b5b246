/**
 * 64-bit integers of messages are JavaScript numbers, as the generated types say: exact up to 2^53. Must be imported before
 * the generated code, which takes the zero of an absent field from here.
 */
import protobuf from 'protobufjs/minimal.js';

// protobufjs depends on `long` and decodes to its objects whenever it is there; `--force-number` changes only the types.
Object.assign(protobuf.util, { Long: null });
protobuf.configure();
