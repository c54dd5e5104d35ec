// Owns what is done to the list of points, each deed with the way back. Knows no page.

import { t } from "../../i18n";
import type { EventApi } from "./api";
import type { Deed, OwnWords } from "./deeds";
import { fieldsOf, sameFields, shownName } from "./model";
import type { EventPoint, PointFields } from "./model";
import type { Reading } from "./sheet";

export const POINT_WORDS: OwnWords = {
  conflict: "event.failed.twice",
  malformed: "event.failed.fields",
  tooLarge: "event.failed.long",
  notFound: "event.failed.gone",
};

/** Asked for at once when a list is taken back: quick, and no flood. */
const AT_ONCE = 4;

export async function addPoint(api: EventApi, fields: PointFields): Promise<Deed> {
  const point = await api.add(fields);
  return { words: () => t("event.did.added", { name: shownName(point) }), undo: () => api.remove(point.id) };
}

/** Its link stays, also when it is taken back. */
export async function changePoint(api: EventApi, before: EventPoint, fields: PointFields): Promise<Deed> {
  const point = await api.change(before.id, fields);
  return {
    words: () => t("event.did.changed", { name: shownName(point) }),
    undo: async () => {
      await api.change(before.id, fieldsOf(before));
    },
  };
}

export async function removePoint(api: EventApi, point: EventPoint): Promise<Deed> {
  await api.remove(point.id);
  return {
    words: () => t("event.did.removed", { name: shownName(point) }),
    undo: async () => {
      await api.restore(point.id);
    },
  };
}

/** `Deed.undo` brings back what was before: those added go, those changed are as they were, those gone have new links. */
export async function takeSheet(api: EventApi, sheet: Blob, how: Reading): Promise<Deed> {
  const before = (await api.event()).points;
  const { added, changed, removed } = await api.take(sheet, how);
  const after = (await api.event()).points;
  const { fresh, other, gone } = differences(before, after);
  return {
    words: () => t("event.did.imported", { added, changed, removed }),
    undo:
      fresh.length + other.length + gone.length === 0
        ? null
        : async () => {
            await each(fresh, (point) => api.remove(point.id));
            await each(other, (point) => api.change(point.id, fieldsOf(point)));
            await each(gone, (point) => api.restore(point.id));
          },
  };
}

/** The deed, and the taking back of it, each end with `load`. */
export function withLoad(load: () => Promise<void>, work: () => Promise<Deed | null>): () => Promise<Deed | null> {
  return async () => {
    const deed = await work();
    await load();
    const undo = deed?.undo;
    if (!deed || !undo) return deed;
    return {
      words: deed.words,
      undo: async () => {
        try {
          await undo();
        } finally {
          await load();
        }
      },
    };
  };
}

interface Differences {
  readonly fresh: readonly EventPoint[];
  /** As they were before. */
  readonly other: readonly EventPoint[];
  readonly gone: readonly EventPoint[];
}

export function differences(before: readonly EventPoint[], after: readonly EventPoint[]): Differences {
  const was = new Set(before.map(({ id }) => id));
  const now = new Map(after.map((point) => [point.id, point]));
  return {
    fresh: after.filter(({ id }) => !was.has(id)),
    other: before.filter((point) => {
      const found = now.get(point.id);
      return found !== undefined && !sameFields(found, point);
    }),
    gone: before.filter(({ id }) => !now.has(id)),
  };
}

async function each<T>(all: readonly T[], work: (one: T) => Promise<unknown>): Promise<void> {
  const waiting = [...all];
  const worker = async (): Promise<void> => {
    for (let one = waiting.shift(); one !== undefined; one = waiting.shift()) await work(one);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}
