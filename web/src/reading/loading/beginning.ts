// Owns reading the first object of a list in JSON of which only the beginning has come. Pure.

/** Who begins with so much is not worth waiting for. */
export const FIRST_LIMIT = 64 * 1024;

/** Undefined where it is not whole yet, or where this is no such list. */
export function firstObject(beginning: string): unknown {
  const from = beginning.indexOf("{");
  if (from < 0 || beginning.slice(0, from).trim() !== "[") return undefined;
  let depth = 0;
  let isText = false;
  for (let at = from; at < beginning.length; at++) {
    const letter = beginning[at];
    if (isText) {
      if (letter === "\\") at += 1;
      else if (letter === '"') isText = false;
    } else if (letter === '"') isText = true;
    else if (letter === "{" || letter === "[") depth += 1;
    else if ((letter === "}" || letter === "]") && --depth === 0) return parsed(beginning.slice(from, at + 1));
  }
  return undefined;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
