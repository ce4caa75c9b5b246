import test from 'ava';
import { parsePodRequest } from '../../daemon/core/request.ts';
import { DECLARED, type PortSpec, podOf, twice } from './pods.ts';

const PORTS = 'berth.dev/ports';

const FORMS =
  'write the name of a declared port, NUMBER[/PROTO], name=COUNT[/PROTO], name=FIRST-LAST[/PROTO] or name=same[/PROTO]';

/** The message behind `pod games/server-0: annotation berth.dev/ports`. */
const REFUSED: readonly (readonly [title: string, value: string, ports: readonly PortSpec[], message: string])[] = [
  [
    'an undeclared name',
    'web, wbe',
    DECLARED,
    `, item 2, column 6: "wbe" is not the name of a port of this pod (it declares "web", "dns", "dns-udp", "sig", "fixed" and more); ${FORMS}`,
  ],
  [
    'a name where none is declared',
    'web',
    [],
    `, item 1, column 1: "web" is not the name of a port of this pod (it declares no names); ${FORMS}`,
  ],
  [
    'a name of the prototype',
    'constructor',
    [],
    `, item 1, column 1: "constructor" is not the name of a port of this pod (it declares no names); ${FORMS}`,
  ],
  ['an empty item', 'web,,dns', DECLARED, ', item 2, column 5: "" is an empty item; remove one comma or write an item'],
  [
    'a comma at the end',
    'web, ',
    DECLARED,
    ', item 2, column 5: "" is an empty item; remove one comma or write an item',
  ],
  ['a comma alone', ',', DECLARED, ', item 1, column 1: "" is an empty item; remove one comma or write an item'],
  [
    'a forgotten comma',
    'web dns',
    DECLARED,
    ', item 1, column 1: "web dns" has a blank inside; separate items by commas and write no blank inside one',
  ],
  [
    'blanks around =',
    'web,  media = 5',
    DECLARED,
    ', item 2, column 7: "media = 5" has a blank inside; separate items by commas and write no blank inside one',
  ],
  [
    'a number out of range',
    '7000/udp, 70000',
    [],
    ', item 2, column 11: "70000" is not a port number; write 1 to 65535 without leading zeros',
  ],
  [
    'a protocol that is none',
    'web, 9000/quic',
    DECLARED,
    ', item 2, column 11: "quic" is no protocol; write tcp, udp or sctp, joined by +',
  ],
  [
    'a block too large',
    'm=300/udp',
    [],
    ', item 1, column 3: "300" is not the size of a block; write a count from 1 to 256, or FIRST-LAST',
  ],
  ['columns count characters', '"😀😀", x', [], `, item 1, column 1: ""😀😀"" is no port request; ${FORMS}`],
  [
    'control characters are shown escaped',
    'web,\u001b[2J\u202e',
    DECLARED,
    `, item 2, column 5: "\\x1b[2J\\u202e" is no port request; ${FORMS}`,
  ],
  [
    'an item too long to show',
    'x'.repeat(4096),
    [],
    `, item 1, column 1: "${'x'.repeat(63)}…" is no port request; ${FORMS}`,
  ],
  [
    'a value too long to read',
    'x'.repeat(4097),
    [],
    `: "${'x'.repeat(63)}…" is longer than 4096 bytes; shorten it, no more than that is read`,
  ],
  [
    'a value too long in bytes',
    'é'.repeat(2049),
    [],
    `: "${'é'.repeat(63)}…" is longer than 4096 bytes; shorten it, no more than that is read`,
  ],
  [
    'a request twice',
    'web, dns, web',
    DECLARED,
    ', item 3, column 11: "web" asks for web, as item 1 does; remove one, or join protocols by +',
  ],
  [
    'a request by name and by number',
    'web, 80',
    DECLARED,
    ', item 2, column 6: "80" asks for web, as item 1 does; remove one, or join protocols by +',
  ],
  [
    'an undeclared number twice',
    '7000, 7000/udp+tcp',
    [],
    ', item 2, column 7: "7000/udp+tcp" asks for 7000-tcp, as item 1 does; remove one, or join protocols by +',
  ],
  [
    'a name given twice',
    'a=5/udp,a=5/tcp',
    [],
    ', item 2, column 9: "a=5/tcp" asks for a, as item 1 does; remove one, or join protocols by +',
  ],
  [
    'a given name that a number has',
    '7000-tcp=5, 7000',
    [],
    ', item 2, column 13: "7000" asks for 7000-tcp, as item 1 does; remove one, or join protocols by +',
  ],
  [
    'a given name that is declared',
    'web=5',
    DECLARED,
    ', item 1, column 1: "web" is the name of a port that the pod declares; write web alone, or choose another name',
  ],
  [
    'a name with a static host port',
    'web,fixed',
    DECLARED,
    `, item 2, column 5: "fixed" has the static hostPort 8443 in container "app"; take it out of the list, or remove the hostPort from the pod's spec`,
  ],
  [
    'a number with a static host port',
    '443/tcp',
    DECLARED,
    `, item 1, column 1: "443/tcp" has the static hostPort 8443 in container "app"; take it out of the list, or remove the hostPort from the pod's spec`,
  ],
  [
    'a name in two containers, asked for by name',
    'metrics',
    twice('metrics'),
    ', item 1, column 1: "metrics" has the name "metrics", which containers "a" and "b" both declare; rename one of the two ports',
  ],
  [
    'a name in two containers, asked for by number',
    '9090',
    twice('metrics'),
    ', item 1, column 1: "9090" has the name "metrics", which containers "a" and "b" both declare; rename one of the two ports',
  ],
  [
    'a name in two containers, asked for with all',
    '',
    twice('metrics'),
    ': "metrics" has the name "metrics", which containers "a" and "b" both declare; rename one of the two ports',
  ],
  [
    'a number whose key is the name of another port',
    '',
    [{ name: '80-tcp', containerPort: 8080 }, { containerPort: 80 }],
    ': "80/tcp" would be called 80-tcp, the name of another port; give it a name, or rename the other port',
  ],
  [
    'an undeclared number whose key is the name of a static port',
    '80',
    [{ name: '80-tcp', containerPort: 8080, hostPort: 1 }],
    ', item 1, column 1: "80" would be called 80-tcp, the name of another port; give it a name, or rename the other port',
  ],
  [
    'overlapping blocks',
    'a=40000-40099/udp, b=5, c=40099-40100/tcp+udp',
    [],
    ', item 3, column 25: "c=40099-40100/tcp+udp" overlaps the block of item 1; choose other numbers',
  ],
  [
    'a declared port that no API server lets pass',
    '',
    [{ containerPort: 65536 }],
    ': "65536/tcp" is port "65536/tcp" of container "app", which Kubernetes would refuse; give it a number from 1 to 65535 and a name of at most 15 of a-z, 0-9 and -',
  ],
  [
    'a declared name that no API server lets pass',
    '80',
    [{ name: '__proto__', containerPort: 80 }],
    ', item 1, column 1: "80" is port "__proto__" of container "app", which Kubernetes would refuse; give it a number from 1 to 65535 and a name of at most 15 of a-z, 0-9 and -',
  ],
  [
    'of several mistakes the first',
    'wbe,,0',
    [],
    `, item 1, column 1: "wbe" is not the name of a port of this pod (it declares no names); ${FORMS}`,
  ],
];

for (const [title, value, ports, message] of REFUSED) {
  test(`ports refused: ${title}`, (t) => {
    t.deepEqual(parsePodRequest(podOf({ [PORTS]: value }, ports)), {
      kind: 'problem',
      problem: { reason: 'InvalidPortRequest', message: `pod games/server-0: annotation ${PORTS}${message}` },
    });
  });
}
