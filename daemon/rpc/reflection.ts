/**
 * The reflection service of gRPC: which services there are and how their messages look, for clients such as grpcurl that know
 * nothing of them. It tells the .proto files and nothing about the cluster.
 */
import { status } from '@grpc/grpc-js';
import type { Descriptors } from '../../proto/descriptors.ts';
import type { grpc, Handlers, ReflectionService } from '../../proto/service.ts';
import type { ShareLimits } from '../core/share.ts';
import type { Admitted } from './admission.ts';
import { Places } from './places.ts';
import { Refusal } from './refusal.ts';
import type { StreamAge } from './streamage.ts';

type Call = Parameters<Handlers<typeof ReflectionService>['serverReflectionInfo']>[0];
type Request = grpc.reflection.v1.ServerReflectionRequest.$Properties;
type Response = grpc.reflection.v1.ServerReflectionResponse.$Properties;

export interface ReflectionSource {
  /** The full names of the services that are served. */
  readonly services: readonly string[];
  readonly age?: StreamAge;
}

const STREAMS: ShareLimits = { ofAll: 64, ofOne: 16 };
/** A client asks once for each file or symbol; one that asks for more than there is asks for nothing useful. */
const MAX_REQUESTS = 1_000;
/** Full names are far shorter; they are given back in answers. */
const MAX_NAME = 1_024;

/** The full names of services, sorted. */
export function servicesOf(
  definitions: readonly Readonly<Record<string, { readonly path: string }>>[],
): readonly string[] {
  const paths = definitions.flatMap((definition) => Object.values(definition).map(({ path }) => path));
  // A path is `/service/Method`.
  return [...new Set(paths.map((path) => path.slice(1, path.lastIndexOf('/'))))].sort();
}

export class ReflectionAnswers {
  readonly #source: ReflectionSource;
  readonly #calls = new Set<Call>();
  readonly #places = new Places(STREAMS, {
    ofAll: 'clients can ask at once',
    ofOne: 'streams of one client at once',
  });
  /** Made when somebody asks: an agent is mostly never asked. */
  #made: Promise<Descriptors> | undefined;

  constructor(source: ReflectionSource) {
    this.#source = source;
  }

  /** Ends every stream. */
  stop(): void {
    for (const call of this.#calls) call.emit('error', new Refusal(status.UNAVAILABLE, 'the server is stopping'));
  }

  /** Throws a Refusal when there is no place. */
  readonly handlers: { readonly serverReflectionInfo: (call: Call, by?: Pick<Admitted, 'key'>) => void } = {
    serverReflectionInfo: (call, by) => {
      const leave = this.#places.take(by?.key);
      this.#made ??= import('../../proto/descriptors.ts').then(({ Descriptors }) => new Descriptors());
      this.#made.then(
        (descriptors) => this.#converse(call, leave, descriptors),
        () => {
          leave();
          call.emit('error', new Refusal(status.INTERNAL, 'the descriptions cannot be loaded'));
        },
      );
    },
  };

  #converse(call: Call, leave: () => void, descriptors: Descriptors): void {
    this.#calls.add(call);
    const refuse = (code: status, details: string) => call.emit('error', new Refusal(code, details));
    const ageless = this.#source.age?.(() => refuse(status.UNAVAILABLE, 'the stream is old: come again'));
    const gone = () => {
      ageless?.();
      leave();
      this.#calls.delete(call);
    };
    const has = new Set<string>();
    let requests = 0;
    call.on('data', (request: Request) => {
      if (!this.#calls.has(call)) return;
      requests += 1;
      if (requests > MAX_REQUESTS) {
        refuse(status.RESOURCE_EXHAUSTED, `at most ${MAX_REQUESTS} requests a stream`);
        return;
      }
      if (call.write(this.#answer(request, descriptors, has))) return;
      // Who asks and does not read is not read either.
      call.pause();
      call.once('drain', () => call.resume());
    });
    call.on('end', () => {
      gone();
      call.end();
    });
    call.on('cancelled', gone);
    call.on('error', gone);
    if (call.cancelled) gone();
  }

  /** `has`: the files that this client was sent. */
  #answer(request: Request, descriptors: Descriptors, has: Set<string>): Response {
    const head = { validHost: request.host ?? '', originalRequest: request };
    const failed = (errorCode: status, errorMessage: string): Response => ({
      ...head,
      errorResponse: { errorCode, errorMessage },
    });
    const names = [
      request.host,
      request.fileByFilename,
      request.fileContainingSymbol,
      request.allExtensionNumbersOfType,
    ];
    const extended = request.fileContainingExtension?.containingType;
    if ([...names, extended, request.listServices].some((name) => (name?.length ?? 0) > MAX_NAME)) {
      return { errorResponse: { errorCode: status.INVALID_ARGUMENT, errorMessage: `at most ${MAX_NAME} characters` } };
    }
    if (typeof request.listServices === 'string') {
      const service = this.#source.services.map((name) => ({ name }));
      return { ...head, listServicesResponse: { service } };
    }
    if (typeof request.allExtensionNumbersOfType === 'string') {
      const baseTypeName = request.allExtensionNumbersOfType;
      if (descriptors.declaring(baseTypeName) === undefined) return failed(status.NOT_FOUND, 'there is no such type');
      return { ...head, allExtensionNumbersResponse: { baseTypeName, extensionNumber: [] } };
    }
    if (request.fileContainingExtension) return failed(status.NOT_FOUND, 'nothing is extended here');
    const { fileByFilename, fileContainingSymbol } = request;
    if (typeof fileByFilename !== 'string' && typeof fileContainingSymbol !== 'string') {
      return failed(status.INVALID_ARGUMENT, 'nothing is asked for that this server knows');
    }
    const file =
      typeof fileByFilename === 'string'
        ? descriptors.named(fileByFilename)
        : descriptors.declaring(fileContainingSymbol ?? '');
    if (file === undefined) return failed(status.NOT_FOUND, 'there is no such file or name');
    // One that is asked for again is sent again.
    has.delete(file.name);
    const files = descriptors.withImports(file, has);
    for (const { name } of files) has.add(name);
    return { ...head, fileDescriptorResponse: { fileDescriptorProto: files.map(({ bytes }) => bytes) } };
  }
}
