/** Lines out of a stream of bytes, however it was cut into pieces. What comes behind the last line feed is no line. */

const LINE_FEED = 0x0a;

/** Throws a RangeError when a line has more than `maxBytes`: nothing longer is kept. */
export async function* linesOf(chunks: AsyncIterable<Uint8Array>, maxBytes: number): AsyncGenerator<string> {
  let pieces: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(LINE_FEED, start);
      const piece = chunk.subarray(start, end === -1 ? chunk.length : end);
      length += piece.length;
      if (length > maxBytes) throw new RangeError(`a line has more than ${maxBytes} bytes`);
      pieces.push(piece);
      if (end === -1) break;
      // Whole lines only: a character of several bytes may be cut between two chunks.
      yield Buffer.concat(pieces).toString('utf8');
      pieces = [];
      length = 0;
      start = end + 1;
    }
  }
}
