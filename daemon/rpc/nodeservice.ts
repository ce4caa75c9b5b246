/** NodeService over a cluster's registry: who reports, and how lately. Changes nothing. */
import { status } from '@grpc/grpc-js';
import type { berth, Handlers, NodeService } from '../../proto/service.ts';
import type { ClusterRegistry } from '../core/cluster.ts';
import type { NodeRecord } from '../core/noderecord.ts';
import { toTimestamp } from './convert.ts';
import { Refusal, refusalOf } from './refusal.ts';
import { addressTypeNumber } from './reportmessage.ts';
import { pageSizeOf } from './request.ts';

export interface NodeSource {
  readonly cluster: ClusterRegistry;
  freshness(): berth.v1.Freshness.$Properties;
  readonly report: (error: Error) => void;
}

/** A name of 253 characters in base64. */
const MAX_TOKEN = 400;

export class NodeAnswers {
  readonly #source: NodeSource;

  constructor(source: NodeSource) {
    this.#source = source;
  }

  readonly handlers: Handlers<typeof NodeService> = {
    listNodes: (call, reply) => {
      try {
        reply(null, this.#list(call.request));
      } catch (thrown) {
        reply(refusalOf(thrown, this.#source.report));
      }
    },
  };

  #list({ pageSize, pageToken }: berth.v1.ListNodesRequest.$Properties): berth.v1.ListNodesResponse.$Properties {
    const { cluster, freshness } = this.#source;
    const size = pageSizeOf(pageSize ?? 0);
    const after = nameOfToken(pageToken ?? '');
    const names = new Set([...cluster.records.keys(), ...(cluster.knownNodes ?? [])]);
    const following = [...names].filter((name) => name > after).sort();
    const page = following.slice(0, size);
    const last = page.at(-1);
    return {
      nodes: page.map((name) => nodeMessage(name, cluster.records.get(name), cluster.mappings.ofNode(name).size)),
      nextPageToken: last === undefined || following.length <= size ? '' : Buffer.from(last).toString('base64url'),
      freshness: freshness(),
    };
  }
}

function nodeMessage(name: string, record: NodeRecord | undefined, mappings: number): berth.v1.Node.$Properties {
  if (record === undefined) return { name };
  const { agent, status: told, heard, stale } = record;
  return {
    name,
    lastHeard: toTimestamp(heard.now),
    stale,
    mappings,
    addresses: told.addresses.map(({ type, address }) => ({ type: addressTypeNumber(type), address })),
    pools: told.pools.map(({ name: pool, ports, freeTCP, freeUDP, freeSCTP }) => ({
      name: pool,
      ports,
      freeTcp: freeTCP,
      freeUdp: freeUDP,
      freeSctp: freeSCTP,
    })),
    bootId: agent.bootID,
    epoch: agent.epoch,
    agentVersion: agent.version,
  };
}

function nameOfToken(token: string): string {
  const name = token.length > MAX_TOKEN ? '' : Buffer.from(token, 'base64url').toString();
  if (Buffer.from(name).toString('base64url') === token) return name;
  throw new Refusal(status.INVALID_ARGUMENT, 'page_token: not the next_page_token of an answer');
}
