/** What a host says about names in its own files: hosts(5), and the search list of resolv.conf(5). Pure. */

/** kubelet writes up to that (MaxDNSSearchPaths). */
const MAX_DOMAINS = 32;
/** RES_MAXNDOTS. */
const MAX_DOTS = 15;

/** The addresses that stand beside the name. */
export function addressesIn(hosts: string, host: string): readonly string[] {
  const name = host.replace(/\.$/, '').toLowerCase();
  return hosts.split('\n').flatMap((line) => {
    const [address = '', ...names] = line.replace(/#.*/, '').trim().split(/\s+/);
    return names.some((one) => one.toLowerCase() === name) ? [address] : [];
  });
}

/** The names that are asked for, in their order: the first that has an address is meant. */
export function namesOf(host: string, resolvConf: string): readonly string[] {
  if (host.endsWith('.')) return [host];
  let domains: readonly string[] = [];
  let dots = 1;
  for (const line of resolvConf.split('\n')) {
    const [key, ...words] = line.trim().split(/\s+/);
    // The last of several counts.
    if (key === 'search' || key === 'domain') domains = words.slice(0, MAX_DOMAINS);
    if (key !== 'options') continue;
    for (const word of words) {
      const [, count] = /^ndots:(\d{1,3})$/.exec(word) ?? [];
      if (count !== undefined) dots = Math.min(MAX_DOTS, Number(count));
    }
  }
  const within = domains.map((domain) => (domain === '.' ? host : `${host}.${domain.replace(/\.$/, '')}`));
  const whole = host.split('.').length - 1 >= dots;
  return [...new Set(whole ? [host, ...within] : [...within, host])];
}
