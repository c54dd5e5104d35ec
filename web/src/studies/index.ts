// Owns what other parts of the page may use of sending studies.

export type { LiveLine } from "./pace";
export { sendRoom } from "./room";
export type { SendRoom } from "./room";
export { SendStudies } from "./send";
