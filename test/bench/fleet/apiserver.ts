/** The API server of the simulated cluster, a stand-in: agents' pods, whose tokens are, and the aggregator's authority. A program. */
import { StandIn } from '../../kube/standin/server.ts';
import { answering } from './member.ts';
import { AGENT_ACCOUNT, nodeName, READER_TOKEN, tokenOf } from './population.ts';

const AUTHORITY = 'berth-aggregator-ca';

export interface ApiServerQuestions {
  /** With so many nodes. Returns its URL. */
  start(nodes: number): Promise<string>;
  /** The authorities that the aggregator has published; undefined: none yet. */
  authorities(): string | undefined;
}

let server: StandIn | undefined;

const answers: ApiServerQuestions = {
  start: async (nodes) => {
    server = await StandIn.start();
    const { store } = server;
    store.putData('Secret', 'berth-system', AUTHORITY);
    store.putData('ConfigMap', 'berth-system', AUTHORITY);
    for (let index = 0; index < nodes; index++) {
      const node = nodeName(index);
      const labels = { 'app.kubernetes.io/name': 'berth', 'app.kubernetes.io/component': 'agent' };
      const [name, uid] = [`berth-agent-${index}`, `uid-${index}`];
      const metadata = { name, namespace: 'berth-system', uid, annotations: {}, labels };
      store.put({ metadata, spec: { nodeName: node }, status: { phase: 'Running' } });
      const extra = {
        'authentication.kubernetes.io/pod-name': [name],
        'authentication.kubernetes.io/pod-uid': [uid],
        'authentication.kubernetes.io/node-name': [node],
      };
      store.tokens.set(tokenOf(node), { user: { username: AGENT_ACCOUNT, extra }, audiences: ['berth'] });
    }
    store.tokens.set(READER_TOKEN, { user: { username: 'reader' }, audiences: ['berth'] });
    store.allows = ({ user }) => user === 'reader';
    return server.url;
  },
  authorities: () => server?.store.data.get(`configmaps/berth-system/${AUTHORITY}`)?.data?.['ca.crt'],
};

answering(answers);
