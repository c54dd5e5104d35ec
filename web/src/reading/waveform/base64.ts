// Owns reading InlineBinary of the JSON model (PS3.18 F.2.7).

/** Nothing where it is not base64. */
export function base64(text: string): ArrayBuffer {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0)).buffer;
  } catch {
    return new ArrayBuffer(0);
  }
}
