/** A diagnosis as text: a table for people, JSON for programs. Findings are printable already. */
import { type Finding, firstBreak, HOPS } from '../../core/diagnosis.ts';

export const DOCTOR_FORMATS = ['table', 'json'] as const;
export type DoctorFormat = (typeof DOCTOR_FORMATS)[number];

export interface Diagnosis {
  /** `namespace/name`; absent: the node alone was examined. */
  readonly pod?: string;
  readonly findings: readonly Finding[];
}

/** Ends with a newline. */
export function renderDiagnosis(diagnosis: Diagnosis, format: DoctorFormat): string {
  return format === 'json' ? json(diagnosis) : table(diagnosis);
}

/** Where it breaks first, and where further on; or that it does not. */
export function conclusion({ pod, findings }: Diagnosis): string {
  const broken = firstBreak(findings);
  if (broken !== undefined) {
    const place = pod === undefined ? 'mappings break at' : 'the path breaks at';
    const port = broken.port === undefined ? '' : `, port ${broken.port}`;
    const later = new Set(findings.filter(({ status }) => status === 'fail').map(({ code }) => code));
    later.delete(broken.code);
    const also =
      later.size === 0
        ? ''
        : `\nfurther on it breaks at: ${[...later].map((code) => `${HOPS[code]} (${code})`).join(', ')}`;
    return `${place}: ${broken.hop} (${broken.code}${port}): ${broken.says}${also}`;
  }
  const count = (status: Finding['status']) => findings.filter((one) => one.status === status).length;
  const rest = [
    [count('warn'), 'with a warning'],
    [count('unknown'), 'not known'],
  ] as const;
  const more = rest.filter(([number]) => number > 0).map(([number, what]) => `${number} ${what}`);
  return `no hop is seen to fail${more.length === 0 ? '' : ` (${more.join(', ')})`}`;
}

function table(diagnosis: Diagnosis): string {
  const rows = diagnosis.findings.map(({ status, code, hop, port }) => [status, code, hop, port ?? '-']);
  const header = ['STATUS', 'CODE', 'HOP', 'PORT'];
  const widths = header.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)));
  const line = (cells: readonly string[]) => cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ');
  const indent = ' '.repeat(line(header).length + 2);
  const lines = diagnosis.findings.flatMap((one, index) => {
    const first = `${line(rows[index] ?? [])}  ${one.says}`;
    // What is in order needs no command.
    const quiet = one.command === '' || one.status === 'ok' || one.status === 'skipped';
    return quiet ? [first] : [first, `${indent}$ ${one.command}`];
  });
  return `${[`${line(header)}  FINDING`, ...lines, '', conclusion(diagnosis)].join('\n')}\n`;
}

function json(diagnosis: Diagnosis): string {
  const { pod, findings } = diagnosis;
  const breaksAt = firstBreak(findings) ?? null;
  return `${JSON.stringify({ ...(pod === undefined ? {} : { pod }), breaksAt, findings }, undefined, 2)}\n`;
}
