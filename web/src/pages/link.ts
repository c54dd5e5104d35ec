// Owns what an address means: which page, and the token in its fragment (docs/protocol.md, "Tokens and links"). Pure.

export interface Link {
  readonly page: "sessions" | "join" | "replay";
  readonly token: string;
  /** Join at once, without asking about devices. */
  readonly now: boolean;
  /** Which recording to open; "" lists those that the token may see. */
  readonly recording: string;
}

const RECORDING = "r=";

export function readLink(pathname: string, hash: string): Link {
  const [token = "", ...options] = hash.replace(/^#/, "").split("&");
  return {
    page: pageOf(pathname),
    token,
    now: options.includes("now"),
    recording: unescaped(options.find((option) => option.startsWith(RECORDING))?.slice(RECORDING.length) ?? ""),
  };
}

/** Where recordings are replayed: all that the token may see, or one. */
export function replayLink(token: string, recording?: string): string {
  return `/replay#${token}${recording === undefined ? "" : `&${RECORDING}${encodeURIComponent(recording)}`}`;
}

function pageOf(pathname: string): Link["page"] {
  switch (pathname.replace(/\/+$/, "")) {
    case "/join":
      return "join";
    case "/replay":
      return "replay";
    default:
      return "sessions";
  }
}

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}
