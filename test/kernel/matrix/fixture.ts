/** A scene for the tests of one file: opened before the first of them, removed after the last, also when they fail. */
import test from 'ava';
import { Scene } from './scene.ts';
import type { Layout } from './topology.ts';

/** Registers the hooks; the function that it returns is for the tests. */
export function sceneOf(layout: Layout): () => Promise<Scene> {
  let opened: Promise<Scene>;
  test.before(`the node stands: ${layout.name}`, async () => {
    opened = Scene.open(layout);
    await opened;
  });
  test.after.always(`the node is removed: ${layout.name}`, async () => {
    const scene = await opened.catch(() => undefined);
    await scene?.[Symbol.asyncDispose]();
  });
  return () => opened;
}
