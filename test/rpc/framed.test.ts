import test from 'ava';
import fc from 'fast-check';
import { framed, sendFramed } from '../../daemon/rpc/framed.ts';
import { Framing } from '../../daemon/rpc/framing.ts';

test('pieces become one message as gRPC frames it', (t) => {
  t.deepEqual(framed(Buffer.from('ab'), Buffer.alloc(0), Buffer.from('c')), Buffer.from('\0\0\0\0\x03abc'));
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 4 }), (pieces) => {
      const framing = new Framing(2_000);
      framing.take(framed(...pieces.map((piece) => Buffer.from(piece))));
      t.deepEqual([framing.whole, framing.compressed, framing.within], [1, 0, false]);
    }),
  );
});

test('where grpc-js has no such place to frame, that is told and nothing is framed twice', (t) => {
  t.throws(() => sendFramed({} as never), { instanceOf: TypeError, message: /frames no messages/ });
});
