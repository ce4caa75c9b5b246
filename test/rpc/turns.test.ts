import test from 'ava';
import { Turns } from '../../daemon/rpc/turns.ts';

/** A loop that turns when it is told to. */
function loop() {
  const due = new Set<() => void>();
  return {
    after: (_ms: number, callback: () => void) => {
      due.add(callback);
      return () => due.delete(callback);
    },
    turn: () => {
      const now = [...due];
      due.clear();
      for (const callback of now) callback();
    },
    get idle() {
      return due.size === 0;
    },
  };
}

test('what comes alone is done at once, and in a later turn again', (t) => {
  const { after, turn } = loop();
  const turns = new Turns({ after }, 1);
  const done: string[] = [];
  turns.add(() => done.push('first'));
  t.deepEqual(done, ['first']);
  turn();
  turns.add(() => done.push('second'));
  t.deepEqual(done, ['first', 'second']);
});

test('more than one turn takes waits for the next turns, in the order in which it came', (t) => {
  const { after, turn } = loop();
  const turns = new Turns({ after }, 2);
  const done: number[] = [];
  for (let piece = 0; piece < 5; piece += 1) turns.add(() => done.push(piece));
  t.deepEqual(done, [0, 1]);
  turn();
  turns.add(() => done.push(5));
  t.deepEqual(done, [0, 1, 2, 3]);
  turn();
  t.deepEqual(done, [0, 1, 2, 3, 4, 5]);
});

test('a piece that adds another one takes no more than the turn has', (t) => {
  const { after, turn } = loop();
  const turns = new Turns({ after }, 2);
  let done = 0;
  const again = () => {
    done += 1;
    turns.add(again);
  };
  turns.add(again);
  t.is(done, 2);
  turn();
  t.is(done, 4);
});

test('when nothing waits nothing is left running', (t) => {
  const watched = loop();
  const turns = new Turns(watched, 2);
  turns.add(() => {});
  watched.turn();
  t.true(watched.idle);
});

test('at its end everybody who waits is let go', async (t) => {
  const { after } = loop();
  const turns = new Turns({ after }, 1);
  const waiting = [turns.next(), turns.next(), turns.next()];
  turns[Symbol.dispose]();
  await Promise.all(waiting);
  await turns.next();
  t.pass();
});
