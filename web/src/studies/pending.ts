// Owns what this tab remembers of a sending, so that after a reload it can say what was under way: numbers only, never a name, a path or a
// UID, because browsers keep this on the disk.

export interface Pending {
  readonly total: number;
  readonly arrived: number;
  readonly bytes: number;
}

const KEY = "bridge.sending";

export function remember(session: string, pending: Pending): void {
  try {
    sessionStorage.setItem(`${KEY}.${session}`, JSON.stringify(pending));
  } catch {
    // Full or forbidden storage: then it is not said after a reload.
  }
}

export function forget(session: string): void {
  try {
    sessionStorage.removeItem(`${KEY}.${session}`);
  } catch {
    // As above.
  }
}

export function remembered(session: string): Pending | null {
  try {
    const said = JSON.parse(sessionStorage.getItem(`${KEY}.${session}`) ?? "null") as Partial<Pending> | null;
    const { total, arrived, bytes } = said ?? {};
    return isCount(total) && isCount(arrived) && isCount(bytes) ? { total, arrived, bytes } : null;
  } catch {
    return null;
  }
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}
