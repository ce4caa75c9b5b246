/** A ValidatingAdmissionPolicy of deploy/, judged as an API server judges it: its expressions are evaluated on what somebody might try. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Environment } from '@marcbachmann/cel-js';
import { parseAllDocuments } from 'yaml';

/** Answers as the authorizer that expressions have. */
class Authorizer {
  readonly #allows: (verb: string, resource: string) => boolean;
  readonly #resource: string;

  constructor(allows: (verb: string, resource: string) => boolean, resource = '') {
    this.#allows = allows;
    this.#resource = resource;
  }

  of(resource: string): Authorizer {
    return new Authorizer(this.#allows, resource);
  }

  check(verb: string): boolean {
    return this.#allows(verb, this.#resource);
  }
}

// Of the extensions that Kubernetes has, those that the policies use.
const cel = new Environment({ unlistedVariablesAreDyn: true })
  .registerType('Authorizer', Authorizer)
  .registerFunction('list.join(string): string', (list: readonly string[], separator: string) => list.join(separator))
  .registerFunction('Authorizer.group(string): Authorizer', (it: Authorizer, group: string) => it.of(group))
  .registerFunction('Authorizer.resource(string): Authorizer', (it: Authorizer, name: string) => it.of(name))
  .registerFunction('Authorizer.check(string): Authorizer', (it: Authorizer, verb: string) => {
    const allowed = it.check(verb);
    return new Authorizer(() => allowed);
  })
  .registerFunction('Authorizer.allowed(): bool', (it: Authorizer) => it.check(''));

export interface Request {
  readonly userInfo: object;
  readonly [key: string]: unknown;
}

export interface Attempted {
  readonly object: object;
  readonly oldObject: object;
  readonly request: Request;
  /** Without it the user may nothing else. */
  readonly allows?: (verb: string, resource: string) => boolean;
}

// biome-ignore lint/suspicious/noExplicitAny: objects of the API have no types here
type Thing = any;

export class Policy {
  readonly policy: Thing;
  readonly binding: Thing;

  constructor(file: string) {
    const path = join(import.meta.dirname, '../deploy', file);
    [this.policy, this.binding] = parseAllDocuments(readFileSync(path, 'utf8')).map((document) => document.toJS());
  }

  /** Undefined when the API server lets it pass, else what it says. */
  judge({ object, oldObject, request, allows = () => false }: Attempted): string | undefined {
    const { matchConditions, variables: defined, validations } = this.policy.spec;
    const variables: Record<string, unknown> = {};
    const context = { object, oldObject, request, variables, authorizer: new Authorizer(allows) };
    const evaluate = ({ expression }: { readonly expression: string }) => cel.evaluate(expression, context);
    if (!matchConditions.every(evaluate)) return undefined;
    for (const variable of defined) variables[variable.name] = evaluate(variable);
    const broken = validations.find((validation: { readonly expression: string }) => !evaluate(validation));
    return broken && (broken.message ?? evaluate({ expression: broken.messageExpression }));
  }
}
