/** Report streams over gRPC: a client of its own for each stream, so that one that failed leaves no back-off behind. */
import {
  type ChannelCredentials,
  Client,
  type ClientOptions,
  credentials,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { type berth, ReportService } from '../../proto/service.ts';
import { CHANNEL_OPTIONS, KEEPALIVE_OPTIONS } from './channeloptions.ts';
import type { ReportConnector } from './reportlink.ts';

const OPTIONS: ClientOptions = {
  ...CHANNEL_OPTIONS,
  ...KEEPALIVE_OPTIONS,
  // The answers are a few bytes each.
  'grpc.max_receive_message_length': 64 * 1024,
  'grpc-node.max_session_memory': 10,
};

/** Plaintext unless credentials are given; `options` are added to those of each channel. */
export function grpcConnector(
  channel: ChannelCredentials = credentials.createInsecure(),
  options: ClientOptions = {},
): ReportConnector {
  return (address, listener) => {
    const client = new Client(address, channel, { ...OPTIONS, ...options });
    const { path, requestSerialize, responseDeserialize } = ReportService.report;
    const call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
    let over = false;
    const end = (code: status, details: string) => {
      if (over) return;
      over = true;
      client.close();
      listener.ended(code, details);
    };
    call.on('data', (response: berth.v1.ReportResponse) => {
      if (!over) listener.response(response);
    });
    call.on('error', (error: ServiceError) => end(error.code, error.details));
    call.on('end', () => end(status.UNAVAILABLE, 'the aggregator ended the stream'));
    return {
      write: (message, written) => void call.write(message, () => written()),
      cancel: () => {
        over = true;
        call.cancel();
        client.close();
      },
    };
  };
}
