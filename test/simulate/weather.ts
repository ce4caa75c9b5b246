/** The faults that are in force at the moment. Times are virtual ms; a time in the past means that the fault is over. */

export class Weather {
  /** Chances of faults; while false nothing fails by chance. */
  rough = true;
  /** `nft` cannot be run. */
  nftDownUntil = 0;
  /** How long the next call of nft takes. */
  nftSlow = 0;
  /** The next transaction is carried out, its answer lost. */
  nftReplyLost = false;
  /** Somebody puts an element in the way of the next transaction, or takes one away that it removes. */
  obstruct: 'EEXIST' | 'ENOENT' | undefined;
  /** Pods whose elements the kernel refuses. */
  readonly guilty = new Set<string>();
  /** Notifications of foreign changes are lost. */
  deafUntil = 0;
  /** Notifications come late. */
  lateUntil = 0;
  conntrackDownUntil = 0;
  diskSlowUntil = 0;
  addressesDownUntil = 0;
  sourceSilentUntil = 0;
  getsDownUntil = 0;
  /** Claims cannot be read. */
  claimsDownUntil = 0;
  writesLostUntil = 0;
  apiDownUntil = 0;
  watchesDownUntil = 0;
  tokenRefusedUntil = 0;
  patchesForbiddenUntil = 0;
  eventsForbiddenUntil = 0;
  /** Pods whose annotations the API server refuses. */
  readonly unpatchable = new Set<string>();
  /** Until when an agent cannot be expected to heal anything. */
  impairedUntil = 0;

  impair(until: number): void {
    this.impairedUntil = Math.max(this.impairedUntil, until);
  }

  /** Everything works from now on. */
  clear(): void {
    this.rough = false;
    this.nftDownUntil = 0;
    this.nftSlow = 0;
    this.nftReplyLost = false;
    this.obstruct = undefined;
    this.guilty.clear();
    this.deafUntil = 0;
    this.lateUntil = 0;
    this.conntrackDownUntil = 0;
    this.diskSlowUntil = 0;
    this.addressesDownUntil = 0;
    this.sourceSilentUntil = 0;
    this.getsDownUntil = 0;
    this.claimsDownUntil = 0;
    this.writesLostUntil = 0;
    this.apiDownUntil = 0;
    this.watchesDownUntil = 0;
    this.tokenRefusedUntil = 0;
    this.patchesForbiddenUntil = 0;
    this.eventsForbiddenUntil = 0;
  }
}
