/** Settings of grpc-js that channels of agents and clients have in common. */
import type { ClientOptions } from '@grpc/grpc-js';

/** What every channel of Berth has. */
export const CHANNEL_OPTIONS: ClientOptions = {
  // Otherwise a client that is made after a failure waits out the back-off of the one before.
  'grpc.use_local_subchannel_pool': 1,
  'grpc.enable_channelz': 0,
  'grpc.enable_retries': 0,
  'grpc.service_config_disable_resolution': 1,
  // By default what the environment says of proxies counts, for loopback too: plaintext would leave this host, and end at another loopback.
  'grpc.enable_http_proxy': 0,
};

/** An aggregator that is gone without a word is noticed within 25 s. */
export const KEEPALIVE_OPTIONS: ClientOptions = {
  'grpc.keepalive_time_ms': 20_000,
  'grpc.keepalive_timeout_ms': 5_000,
};
