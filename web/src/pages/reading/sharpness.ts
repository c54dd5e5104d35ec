// Owns the verdict on how far the pictures are at each point. Pure.

import type { ParticipantId, Reader } from "../../protocol";

export interface Late {
  readonly participant: ParticipantId;
  /** Of its pictures in full quality; null while it is not known how many there are. */
  readonly share: number | null;
}

/** Those who do not see every picture in full quality yet, the farthest behind first. Who looks freely sees something else. */
export function lagging(readers: readonly Reader[]): readonly Late[] {
  return readers
    .filter(({ following, sharp, total }) => following && (total === 0 || sharp < total))
    .map(({ participant, sharp, total }) => ({ participant, share: total === 0 ? null : Math.floor((sharp / total) * 100) / 100 }))
    .sort((a, b) => (a.share ?? -1) - (b.share ?? -1));
}
