/**
 * The options of every program. They share one environment and one file, so that each knows, and passes over, what is
 * meant for another; what is meant for none of them stays an error.
 */
import { agentTable } from './agentoptions.ts';
import { AGGREGATOR_TABLE } from './aggregatoroptions.ts';
import { CLIENT_TABLE } from './clientoptions.ts';
import type { OptionTable } from './optiontable.ts';
import { uninstallTable } from './uninstall/options.ts';
import { WAIT_TABLE } from './wait/options.ts';

/** Those of `berth doctor` are the agent's, and `output`. */
export const EVERY_TABLE: readonly OptionTable[] = [
  agentTable(''),
  AGGREGATOR_TABLE,
  CLIENT_TABLE,
  uninstallTable(''),
  WAIT_TABLE,
];
