/** A client that knows nothing but the reflection protocol, as grpcurl is one: what it calls it has learned from the server. */
import type { Client, Metadata, ServiceError } from '@grpc/grpc-js';
import protobuf from 'protobufjs';
import descriptor from 'protobufjs/ext/descriptor.js';
import type { grpc, OldReflectionService, ReflectionService } from '../../proto/service.ts';

export type Asking = (typeof ReflectionService | typeof OldReflectionService)['serverReflectionInfo'];
export type Request = grpc.reflection.v1.ServerReflectionRequest.$Properties;
export type Response = grpc.reflection.v1.ServerReflectionResponse;

/** One stream of questions. */
export function asking(client: Client, { path, requestSerialize, responseDeserialize }: Asking) {
  const call = client.makeBidiStreamRequest<Request, Response>(path, requestSerialize, responseDeserialize);
  const answers = call[Symbol.asyncIterator]() as AsyncIterator<Response, undefined>;
  return {
    call,
    /** Undefined: the server has ended the stream. Rejects with a ServiceError. */
    ask: async (request: Request): Promise<Response | undefined> => {
      call.write(request);
      return (await answers.next()).value;
    },
    /** How the server ended it. */
    ended: new Promise<ServiceError>((resolve) => call.once('error', resolve as (error: Error) => void)),
  };
}

export class Stranger {
  readonly #client: Client;
  readonly #stream: ReturnType<typeof asking>;
  /** A server sends each file once a stream. */
  readonly #files: descriptor.IFileDescriptorProto[] = [];

  constructor(client: Client, method: Asking) {
    this.#client = client;
    this.#stream = asking(client, method);
  }

  async services(): Promise<readonly string[]> {
    const answer = await this.#stream.ask({ listServices: '' });
    return (answer?.listServicesResponse?.service ?? []).map(({ name }) => name ?? '');
  }

  /** Everything that is needed to call the service, out of what the server sends. */
  async learn(service: string): Promise<protobuf.Root> {
    const answer = await this.#stream.ask({ fileContainingSymbol: service });
    const files = answer?.fileDescriptorResponse?.fileDescriptorProto ?? [];
    this.#files.push(...files.map(decoded));
    const file = [...new Map(this.#files.map((one) => [one.name, one])).values()];
    const set = descriptor.FileDescriptorSet.encode(descriptor.FileDescriptorSet.create({ file })).finish();
    return protobuf.Root.fromDescriptor(set, { keepCase: true });
  }

  /** A unary call with JSON, as a person would write it. */
  async call(service: string, method: string, request: object, metadata: Metadata): Promise<object> {
    const learned = (await this.learn(service)).lookupService(service);
    const { requestType, responseType } = learned.methods[method] as protobuf.Method;
    const [asked, answered] = [learned.lookupType(requestType), learned.lookupType(responseType)];
    const { promise, resolve, reject } = Promise.withResolvers<object>();
    this.#client.makeUnaryRequest(
      `/${service}/${method}`,
      (message: object) => Buffer.from(asked.encode(asked.fromObject(message)).finish()),
      (bytes: Buffer) => answered.toObject(answered.decode(bytes), { enums: String, longs: String }),
      request,
      metadata,
      (error, answer) => (error === null ? resolve(answer ?? {}) : reject(error)),
    );
    return await promise;
  }

  close(): void {
    this.#stream.call.cancel();
  }
}

function decoded(bytes: Uint8Array): descriptor.IFileDescriptorProto {
  return descriptor.FileDescriptorProto.toObject(descriptor.FileDescriptorProto.decode(bytes));
}
