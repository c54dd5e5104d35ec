// Owns what is done to the list of points, each deed with the way back. Knows no page.

import { ApiError } from "../../api";
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

/** Its link stays, also when it is taken back; what was not touched here stays as somebody else may have written it meanwhile. */
export async function changePoint(api: EventApi, before: EventPoint, fields: PointFields): Promise<Deed> {
  const point = await api.change(before.id, otherFields(before, fields));
  return {
    words: () => t("event.did.changed", { name: shownName(point) }),
    undo: async () => {
      await api.change(before.id, otherFields(fields, before));
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
  const seen = async (): Promise<Differences> => differences(before, (await api.event()).points);
  // The list was taken: that an answer about it is lost does not mean that it failed. Then it is asked for when it is taken back.
  let left = await seen().catch(() => null);
  return {
    words: () => t("event.did.imported", { added, changed, removed }),
    undo:
      left !== null && left.fresh.length + left.other.length + left.gone.length === 0
        ? null
        : async () => {
            left ??= await seen();
            await each(left.fresh, (point) => api.remove(point.id).catch(unlessGone));
            await each(left.other, (point) => api.change(point.id, fieldsOf(point)));
            await each(left.gone, (point) => api.restore(point.id));
          },
  };
}

/** The deed, and the taking back of it, each end with `load`: also what fails may have been done, with its answer lost. */
export function withLoad(load: () => Promise<void>, work: () => Promise<Deed | null>): () => Promise<Deed | null> {
  return async () => {
    let deed: Deed | null;
    try {
      deed = await work();
    } finally {
      await load();
    }
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
  readonly fresh: EventPoint[];
  /** As they were before. */
  readonly other: EventPoint[];
  readonly gone: EventPoint[];
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

function unlessGone(error: unknown): void {
  if (!(error instanceof ApiError && error.code === "notFound")) throw error;
}

/** What is done leaves the list; what fails stays in it, to be tried again. */
async function each<T>(waiting: T[], work: (one: T) => Promise<unknown>): Promise<void> {
  const failed: T[] = [];
  const worker = async (): Promise<void> => {
    for (let one = waiting.shift(); one !== undefined; one = waiting.shift()) {
      try {
        await work(one);
      } catch (error) {
        failed.push(one);
        throw error;
      }
    }
  };
  const ends = await Promise.allSettled(Array.from({ length: AT_ONCE }, worker));
  waiting.unshift(...failed);
  for (const end of ends) if (end.status === "rejected") throw end.reason;
}

/** Those of `now` that `before` has otherwise. */
function otherFields(before: PointFields, now: PointFields): Partial<PointFields> {
  return Object.fromEntries(Object.entries(fieldsOf(now)).filter(([name, text]) => text !== before[name as keyof PointFields]));
}
