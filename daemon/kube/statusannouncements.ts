/**
 * What Berth told the pods of a directory of manifests: the files in `.status`. Nothing else is ever there, so that all of them go,
 * whether their pods are there or not, through the agent's publisher where it understands them.
 */
import { readdir, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../core/errors.ts';
import type { Clock, Random } from '../reconcile/ports.ts';
import type { AnnouncedPod, Announcements } from '../reconcile/uninstall/ports.ts';
import { DirectoryPublisher } from './status.ts';
import { isMissing, readStatus, removeStatus, statusDirectory } from './statusfile.ts';

const SUFFIX = '.json';

export class StatusAnnouncements implements Announcements {
  readonly #directory: string;
  readonly #clock: Clock;
  readonly #random: Random;

  /** `directory` holds the manifests. */
  constructor(directory: string, clock: Clock, random: Random) {
    this.#directory = directory;
    this.#clock = clock;
    this.#random = random;
  }

  async find(): Promise<readonly AnnouncedPod[]> {
    const files = await this.#files();
    return await Promise.all(files.map((file) => this.#podOf(file)));
  }

  async withdraw(pods: readonly AnnouncedPod[]): Promise<readonly string[]> {
    const failures: string[] = [];
    const onError = ({ message }: Error) => failures.push(message);
    const publisher = new DirectoryPublisher(this.#directory, { clock: this.#clock, random: this.#random, onError });
    for (const pod of pods) if (pod.uid !== '') publisher.forget(pod);
    await publisher.flush();
    for (const file of await this.#files()) {
      await removeStatus(join(statusDirectory(this.#directory), file)).catch((error) =>
        failures.push(messageOf(error)),
      );
    }
    // Not when somebody else has put something there.
    await rmdir(statusDirectory(this.#directory)).catch(() => undefined);
    return failures;
  }

  /** Their names; one that a crash left half written counts as its whole. */
  async #files(): Promise<readonly string[]> {
    try {
      const names = await readdir(statusDirectory(this.#directory));
      const files = names.map((name) => name.replace(/\.tmp$/, '')).filter((name) => name.endsWith(SUFFIX));
      return [...new Set(files)].sort();
    } catch (error) {
      if (isMissing(error)) return [];
      throw error;
    }
  }

  /** Named by the file where its text cannot be understood. */
  async #podOf(file: string): Promise<AnnouncedPod> {
    const status = await readStatus(join(statusDirectory(this.#directory), file)).catch(() => undefined);
    if (status !== undefined) return { namespace: status.namespace, name: status.pod, uid: status.uid, podIPs: [] };
    const [namespace = '', ...name] = file.slice(0, -SUFFIX.length).split('_');
    return { namespace, name: name.join('_'), uid: '', podIPs: [] };
  }
}
