// Talks to the kiosk's own process: requests, and a connection that brings states and live pictures.

const RETRY_MS = 1000;

/** Sends a request; answers `{ ok, state, error }`. */
export async function call(method, path, body) {
  try {
    const response = await fetch(path, {
      method,
      headers: body === undefined ? {} : { "content-type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const answer = await response.json();
    return answer.error && !answer.screen
      ? { ok: false, error: answer.error }
      : { ok: response.ok, state: answer };
  } catch {
    return { ok: false, error: { reason: "OFFLINE", message: "" } };
  }
}

/** Keeps a connection: `onState` gets states, `onPicture` JPEG blobs, `onLine` whether it stands. */
export function connect(onState, onPicture, onLine) {
  const address = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/live`;
  const socket = new WebSocket(address);
  socket.binaryType = "blob";
  socket.addEventListener("open", () => onLine(true));
  socket.addEventListener("message", ({ data }) => {
    if (typeof data === "string") onState(JSON.parse(data));
    else onPicture(data);
  });
  socket.addEventListener("close", () => {
    onLine(false);
    setTimeout(() => connect(onState, onPicture, onLine), RETRY_MS);
  });
}
