/** The wire contract as clients can be told it: the .proto files, each with those that it imports. Changes nothing, knows no call. */
import { FILES } from './generated/descriptors.ts';

interface File {
  readonly name: string;
  readonly imports: readonly string[];
  /** The full names of everything in it. */
  readonly declares: readonly string[];
  /** A FileDescriptorProto. */
  readonly bytes: Buffer;
}

export class Descriptors {
  readonly #byName = new Map<string, File>();
  readonly #bySymbol = new Map<string, File>();

  constructor() {
    for (const { name, imports, declares, bytes } of FILES) {
      const file = { name, imports, declares, bytes: Buffer.from(bytes, 'base64') };
      this.#byName.set(name, file);
      for (const symbol of declares) this.#bySymbol.set(symbol, file);
    }
  }

  /** As it is imported. */
  named(name: string): File | undefined {
    return this.#byName.get(name);
  }

  /** By the full name of a service, method, message, field, oneof, enum or value. */
  declaring(symbol: string): File | undefined {
    return this.#bySymbol.get(symbol);
  }

  /** The file and all that it needs, each once, but for those that the other end has. */
  withImports(file: File, has: ReadonlySet<string>): readonly File[] {
    const found = new Set<File>();
    const waiting = [file];
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      if (found.has(next)) continue;
      found.add(next);
      waiting.push(...next.imports.flatMap((name) => this.#byName.get(name) ?? []));
    }
    return [...found].filter(({ name }) => !has.has(name));
  }
}
