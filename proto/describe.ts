/**
 * Makes what the reflection service tells: every .proto file as a serialized FileDescriptorProto, with what it imports and the
 * names that it declares. Run by generate.sh; no program loads it.
 *
 *     describe.ts OUT FILE...
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { relative, resolve } from 'node:path';
import protobuf from 'protobufjs';
import descriptor from 'protobufjs/ext/descriptor.js';

const { Enum, Namespace, Root, Service, Type } = protobuf;

interface Source {
  readonly imports: readonly string[];
  readonly package: string;
  /** Outermost messages, enums and services. */
  readonly declared: readonly protobuf.ReflectionObject[];
}

/** Adds the file and what it imports to the root, each once. Those of Google come with protobufjs. */
function read(name: string, root: protobuf.Root, sources: Map<string, Source>): void {
  if (sources.has(name)) return;
  const before = new Set(outermost(root));
  const bundled = protobuf.common.get(name);
  let parsed: { readonly package?: string | undefined; readonly imports?: string[] | undefined } = {};
  if (bundled === null) {
    const text = readFileSync(resolve(import.meta.dirname, name), 'utf8');
    parsed = protobuf.parse(text, root, { keepCase: true });
  } else root.addJSON(bundled.nested ?? {});
  const { imports = [], package: ofFile = 'google.protobuf' } = parsed;
  sources.set(name, { imports, package: ofFile, declared: outermost(root).filter((object) => !before.has(object)) });
  for (const imported of imports) read(imported, root, sources);
}

function outermost(namespace: protobuf.NamespaceBase): protobuf.ReflectionObject[] {
  return namespace.nestedArray.flatMap((object) => (object.constructor === Namespace ? outermost(object) : [object]));
}

/** protobufjs knows neither imports nor full names of types: protoc writes them so. */
function described(name: string, source: Source): Uint8Array {
  const messageType = source.declared.filter((object) => object instanceof Type).map(message);
  const enumType = source.declared.filter((object) => object instanceof Enum).map((object) => object.toDescriptor());
  const service = source.declared.filter((object) => object instanceof Service).map(serviceOf);
  const { FileDescriptorProto } = descriptor;
  const file = { name, package: source.package, dependency: [...source.imports], messageType, enumType, service };
  return FileDescriptorProto.encode(FileDescriptorProto.create({ ...file, syntax: 'proto3' })).finish();
}

function message(type: protobuf.Type): descriptor.IDescriptorProto {
  const made = type.toDescriptor('proto3');
  for (const [index, field] of type.fieldsArray.entries()) {
    const { resolvedType } = field.resolve();
    const told = made.field?.[index];
    if (told !== undefined && resolvedType !== null) told.typeName = resolvedType.fullName;
  }
  made.nestedType = type.nestedArray.filter((object) => object instanceof Type).map(message);
  return made;
}

function serviceOf(service: protobuf.Service): descriptor.IServiceDescriptorProto {
  const made = service.toDescriptor();
  for (const [index, method] of service.methodsArray.entries()) {
    const { resolvedRequestType, resolvedResponseType } = method.resolve() as protobuf.Method;
    const inputType = resolvedRequestType?.fullName;
    Object.assign(made.method?.[index] ?? {}, { inputType, outputType: resolvedResponseType?.fullName });
  }
  return made;
}

/** As C++ has them: the values of an enum stand beside it. */
function namesIn(object: protobuf.ReflectionObject): string[] {
  const own = object.fullName.slice(1);
  if (object instanceof Enum) {
    const around = own.slice(0, own.lastIndexOf('.') + 1);
    return [own, ...Object.keys(object.values).map((value) => around + value)];
  }
  if (object instanceof Service) return [own, ...object.methodsArray.map(({ name }) => `${own}.${name}`)];
  if (!(object instanceof Type)) return [own];
  const members = [...object.fieldsArray, ...object.oneofsArray].map(({ name }) => `${own}.${name}`);
  return [own, ...members, ...object.nestedArray.flatMap(namesIn)];
}

const [out = '', ...files] = process.argv.slice(2);
const root = new Root();
const sources = new Map<string, Source>();
for (const file of files) read(relative(import.meta.dirname, resolve(file)), root, sources);
root.resolveAll();
const told = [...sources].map(([name, source]) => ({
  name,
  imports: source.imports,
  declares: source.declared.flatMap(namesIn),
  bytes: Buffer.from(described(name, source)).toString('base64'),
}));
const FORM = 'interface File { name: string; imports: readonly string[]; declares: readonly string[]; bytes: string }';
writeFileSync(out, `${FORM}\nexport const FILES: readonly File[] = ${JSON.stringify(told, undefined, 1)};\n`);
