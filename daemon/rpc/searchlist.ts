/** Which names a resolver asks for, as resolv.conf(5) has it. Pure. */

/** As much as kubelet writes, and glibc takes (since 2.26 as many as there are). */
const MAX_DOMAINS = 32;
const MAX_DOTS = 15;

/** In the order in which they are asked for: the first that has an address is meant. */
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
  const absolute = host.split('.').length - 1 >= dots;
  return [...new Set(absolute ? [host, ...within] : [...within, host])];
}
