/** Follows the events of the box, and connects again: shared by the page and the wall. */

/** The connection counts as lost after this; shorter interruptions are not shown. */
const LOST_MS = 2500;
const RETRY_MS = 2000;

/**
 * @typedef {object} Follower
 * @property {() => void} opened the events flow: what was missed is to be read
 * @property {(overview: import('./api.js').Overview) => void} overview
 * @property {(event: import('./api.js').ReadingEvent) => void} reading
 * @property {(event: import('./api.js').DeviceEvent) => void} device
 * @property {() => void} lost no event has come for a while
 * @property {(status: number | undefined) => void} refused the box answers something else: its HTTP status, if there is one
 */

/** @param {string} path */
export async function read(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return await answer.json();
}

/**
 * Follows until the page is closed. Returns a function that reconnects at once.
 * @param {Follower} follower
 */
export function followEvents(follower) {
  /** @type {EventSource | undefined} */
  let source;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let lostTimer;
  // The browser does not retry a response that is not an event stream, and hides its status from the page: fetch it once.
  const whyClosed = async () => {
    const answer = await fetch('/queue').catch(() => undefined);
    follower.refused(answer?.status);
    setTimeout(connect, RETRY_MS);
  };
  function connect() {
    source?.close();
    const events = new EventSource('/events');
    source = events;
    events.addEventListener('open', () => follower.opened());
    events.addEventListener('overview', ({ data }) => {
      clearTimeout(lostTimer);
      lostTimer = undefined;
      follower.overview(JSON.parse(data));
    });
    events.addEventListener('reading', ({ data }) => follower.reading(JSON.parse(data)));
    events.addEventListener('device', ({ data }) => follower.device(JSON.parse(data)));
    events.addEventListener('error', () => {
      lostTimer ??= setTimeout(() => follower.lost(), LOST_MS);
      if (events.readyState === EventSource.CLOSED) void whyClosed();
    });
  }
  connect();
  return connect;
}
