// Owns what an address means: which page, and the token in its fragment (docs/protocol.md, "Tokens and links"). Pure.

export interface Link {
  readonly page: "sessions" | "join" | "replay" | "read" | "event" | "check";
  readonly token: string;
  /** Join at once, without asking about devices. */
  readonly now: boolean;
  /** Which recording to open; "" lists those that the token may see. */
  readonly recording: string;
  /** Which study to read; "" lists those that the token opens. */
  readonly study: string;
  /** Which event to prepare; "" is that of the token. */
  readonly event: string;
}

const RECORDING = "r=";
const STUDY = "s=";
const EVENT = "e=";

export function readLink(pathname: string, hash: string): Link {
  const [token = "", ...options] = hash.replace(/^#/, "").split("&");
  const said = (name: string): string => unescaped(options.find((option) => option.startsWith(name))?.slice(name.length) ?? "");
  return { page: pageOf(pathname), token, now: options.includes("now"), recording: said(RECORDING), study: said(STUDY), event: said(EVENT) };
}

/** Where recordings are replayed: all that the token may see, or one. */
export function replayLink(token: string, recording?: string): string {
  return `/replay#${token}${recording === undefined ? "" : `&${RECORDING}${encodeURIComponent(recording)}`}`;
}

/** Where studies are read outside a session: all that the token opens, or one. */
export function studyLink(token: string, study?: string): string {
  return `/read#${token}${study === undefined ? "" : `&${STUDY}${encodeURIComponent(study)}`}`;
}

/** Where an event is prepared and looked back on: that of the token, or one. */
export function eventLink(token: string, event?: string): string {
  return `/event#${token}${event === undefined ? "" : `&${EVENT}${encodeURIComponent(event)}`}`;
}

/** Where a link tries its line. */
export function checkLink(token: string): string {
  return `/check#${token}`;
}

function pageOf(pathname: string): Link["page"] {
  switch (pathname.replace(/\/+$/, "")) {
    case "/join":
      return "join";
    case "/replay":
      return "replay";
    case "/read":
      return "read";
    case "/event":
      return "event";
    case "/check":
      return "check";
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
