/** Patches as the API server applies them, as far as the agent sends any: merge patch, and strategic merge of conditions. */

type Fields = Record<string, unknown>;

function isMap(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** RFC 7386. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isMap(patch)) return patch;
  const merged: Fields = isMap(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete merged[key];
    else merged[key] = mergePatch(merged[key], value);
  }
  return merged;
}

/** Lists called `conditions` are merged by `type`, with the directive `$patch: delete`; all else as a merge patch. */
export function strategicPatch(target: unknown, patch: unknown): unknown {
  if (!isMap(patch)) return patch;
  const merged: Fields = isMap(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete merged[key];
    else if (key === 'conditions' && Array.isArray(value)) merged[key] = mergeByType(merged[key], value as Fields[]);
    else merged[key] = strategicPatch(merged[key], value);
  }
  return merged;
}

function mergeByType(target: unknown, patch: readonly Fields[]): Fields[] {
  const byType = new Map((Array.isArray(target) ? (target as Fields[]) : []).map((one) => [one.type, one]));
  for (const { $patch, ...entry } of patch) {
    if ($patch === 'delete') byType.delete(entry.type);
    else byType.set(entry.type, { ...byType.get(entry.type), ...entry });
  }
  return [...byType.values()];
}
