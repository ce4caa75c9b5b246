/** An observer of a reporter that tells nobody anything: what a test wants to hear it puts in the place of a part. */
import type { ReporterObserver } from '../../daemon/rpc/reportlink.ts';

export const SILENT: ReporterObserver = {
  connected: () => {},
  lost: () => {},
  dropped: () => {},
  sent: () => {},
  resync: () => {},
  resolved: () => {},
  unresolved: () => {},
};
