/**
 * The typed binding of the wire contract: the generated messages, and their services as grpc-js wants them. The only file
 * that imports their generated code. It must never hold what a service does.
 */
import type {
  handleBidiStreamingCall,
  handleClientStreamingCall,
  handleServerStreamingCall,
  handleUnaryCall,
} from '@grpc/grpc-js';
import { berth, grpc } from './generated/berth.js';

export { berth, grpc };

/** One method of a service; assignable to the MethodDefinition of grpc-js. `Sent` types may leave fields out. */
export interface Method<
  SentRequest,
  Request,
  SentResponse,
  Response,
  ResponseStreams extends boolean,
  RequestStreams extends boolean = false,
> {
  readonly path: string;
  readonly requestStream: RequestStreams;
  readonly responseStream: ResponseStreams;
  readonly requestSerialize: (message: SentRequest) => Buffer;
  readonly requestDeserialize: (bytes: Buffer) => Request;
  readonly responseSerialize: (message: SentResponse) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => Response;
}

/** What a server implements for a definition that `defineService` made. */
export type Handlers<Definition> = {
  [K in keyof Definition]: Definition[K] extends Method<
    never,
    infer Request,
    infer SentResponse,
    unknown,
    infer ResponseStreams,
    infer RequestStreams
  >
    ? Handler<Request, SentResponse, ResponseStreams, RequestStreams>
    : never;
};

type Handler<Request, SentResponse, ResponseStreams, RequestStreams> = RequestStreams extends true
  ? ResponseStreams extends true
    ? handleBidiStreamingCall<Request, SentResponse>
    : handleClientStreamingCall<Request, SentResponse>
  : ResponseStreams extends true
    ? handleServerStreamingCall<Request, SentResponse>
    : handleUnaryCall<Request, SentResponse>;

/** A method as the generated service class describes it: names of messages in the service's own package. */
interface Described {
  readonly path: string;
  readonly requestType: string;
  readonly responseType: string;
  readonly requestStream: true | undefined;
  readonly responseStream: true | undefined;
}

interface MessageClass {
  encode(message: never): { finish(): Uint8Array };
  decode(bytes: Uint8Array): unknown;
}

type Sent<T> = T extends { encode(message: infer M): unknown } ? M : never;
type Received<T> = T extends { decode(bytes: Uint8Array): infer M } ? M : never;

/** The grpc-js definition of a service, typed. */
export type Definition<Package, Service> = {
  readonly [K in keyof Service as Service[K] extends Described ? K : never]: Service[K] extends {
    readonly requestType: infer Q extends keyof Package;
    readonly responseType: infer R extends keyof Package;
    readonly requestStream: infer RequestStreams;
    readonly responseStream: infer ResponseStreams;
  }
    ? Method<
        Sent<Package[Q]>,
        Received<Package[Q]>,
        Sent<Package[R]>,
        Received<Package[R]>,
        ResponseStreams extends true ? true : false,
        RequestStreams extends true ? true : false
      >
    : never;
};

/** `messages` is the generated package that the service and the messages of its methods are in. */
export function defineService<Package extends object, Service extends object>(
  messages: Package,
  service: { readonly prototype: Service },
): Definition<Package, Service> {
  const classes = messages as Readonly<Record<string, MessageClass>>;
  const methods = Object.entries(service.prototype as Readonly<Record<string, Described>>);
  return Object.fromEntries(methods.map(([name, method]) => [name, bound(method, classes)])) as Definition<
    Package,
    Service
  >;
}

function bound(described: Described, classes: Readonly<Record<string, MessageClass>>) {
  const request = classes[described.requestType];
  const response = classes[described.responseType];
  if (request === undefined || response === undefined) {
    throw new TypeError(
      `${described.path}: ${described.requestType} or ${described.responseType} is of another package`,
    );
  }
  return {
    path: described.path,
    requestStream: described.requestStream === true,
    responseStream: described.responseStream === true,
    requestSerialize: (message: never) => bytesOf(request.encode(message)),
    requestDeserialize: (bytes: Buffer) => request.decode(bytes),
    responseSerialize: (message: never) => bytesOf(response.encode(message)),
    responseDeserialize: (bytes: Buffer) => response.decode(bytes),
  };
}

/** In Node the writer's bytes are a Buffer already; its type does not say so. */
function bytesOf(writer: { finish(): Uint8Array }): Buffer {
  const bytes = writer.finish();
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export const MappingService = defineService(berth.v1, berth.v1.MappingService);
export const NodeService = defineService(berth.v1, berth.v1.NodeService);
export const ReportService = defineService(berth.v1, berth.v1.ReportService);
export const HealthService = defineService(grpc.health.v1, grpc.health.v1.Health);
export const ReflectionService = defineService(grpc.reflection.v1, grpc.reflection.v1.ServerReflection);
/** What clients of before 2023 ask for: the same messages under another name. */
export const OldReflectionService = {
  serverReflectionInfo: {
    ...ReflectionService.serverReflectionInfo,
    path: '/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo',
  },
} as const;
