/** A label selector of Kubernetes (meta/v1), and whether labels are selected by it. What is wrong with one selects nothing. */

export interface LabelSelector {
  readonly matchLabels: Readonly<Record<string, string>>;
  readonly matchExpressions: readonly SelectorTerm[];
}

export interface SelectorTerm {
  readonly key: string;
  readonly operator: string;
  readonly values: readonly string[];
}

/** What is wrong with it, for people; undefined: nothing. */
export function selectorFault({ matchExpressions }: LabelSelector): string | undefined {
  for (const { key, operator, values } of matchExpressions) {
    const listed = operator === 'In' || operator === 'NotIn';
    if (!listed && operator !== 'Exists' && operator !== 'DoesNotExist') {
      return `the operator of ${key} is none of In, NotIn, Exists, DoesNotExist`;
    }
    if (listed !== values.length > 0) return `${operator} of ${key} ${listed ? 'needs' : 'takes no'} values`;
  }
  return undefined;
}

export function isSelected(selector: LabelSelector, labels: Readonly<Record<string, string>>): boolean {
  if (selectorFault(selector) !== undefined) return false;
  const labelOf = (key: string) => (Object.hasOwn(labels, key) ? labels[key] : undefined);
  return (
    Object.entries(selector.matchLabels).every(([key, value]) => labelOf(key) === value) &&
    selector.matchExpressions.every(({ key, operator, values }) => {
      const value = labelOf(key);
      switch (operator) {
        case 'In':
          return value !== undefined && values.includes(value);
        case 'NotIn':
          return value === undefined || !values.includes(value);
        case 'Exists':
          return value !== undefined;
        default:
          return value === undefined;
      }
    })
  );
}
