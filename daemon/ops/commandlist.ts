/** The commands of `berth` and what each is for, in the order of its help. Little more than texts, so that they cost nothing to load. */
import { quoted } from '../core/text.ts';

export const SUMMARIES = {
  agent: 'run the agent of this node',
  aggregator: 'run an aggregator, which answers for the cluster',
  list: 'list the live mappings',
  get: 'tell where a pod can be reached',
  watch: 'follow the mappings as they change',
  nodes: 'list the nodes that an aggregator knows',
  wait: "wait until a pod's host ports are known",
  doctor: 'find out why a pod cannot be reached',
  uninstall: 'take everything of Berth off this node',
  completion: 'print what completes command lines in a shell',
} as const;

/** What is wrong with a word that stands where a command should. */
export function noCommand(word: string): string {
  return word.startsWith('-') ? `${quoted(word)} stands behind a command` : `there is no command ${quoted(word)}`;
}

export type CommandName = keyof typeof SUMMARIES;
