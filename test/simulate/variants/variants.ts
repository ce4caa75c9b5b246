/** Every known bug of the field that the simulation must catch. */
import { CLAIM_VARIANTS } from './claims.ts';
import { FLOW_VARIANTS } from './flows.ts';
import { LIMIT_VARIANTS } from './limits.ts';
import { NUMBER_VARIANTS } from './numbers.ts';
import { POD_VARIANTS } from './pods.ts';
import { RULE_VARIANTS } from './rules.ts';
import { TELLING_VARIANTS } from './telling.ts';
import type { Variant } from './variant.ts';
import { WIRE_VARIANTS } from './wire.ts';

export const VARIANTS: readonly Variant[] = [
  ...RULE_VARIANTS,
  ...LIMIT_VARIANTS,
  ...FLOW_VARIANTS,
  ...NUMBER_VARIANTS,
  ...POD_VARIANTS,
  ...TELLING_VARIANTS,
  ...WIRE_VARIANTS,
  ...CLAIM_VARIANTS,
];
