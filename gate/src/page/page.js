// Shows the gate's state. Nothing here needs touching but the keypad, where a second factor is typed; the panel for simulated
// sensors is in stage.js.
import { build, forget, pressed } from "./keypad.js";
import { texts } from "./texts.js";

const at = (id) => document.getElementById(id);

const icons = {
  starting: "wait", idle: "hand", identifying: "wait", admitted: "tick", "step-up": "code", keypad: "code",
  "code-refused": "code", "code-unavailable": "code", refused: "code",
  retry: "again", "locked-out": "clock", unreachable: "cable", "unreachable-open": "open", sensor: "cable",
  offline: "cable",
};
const guidanceIcons = {
  ready: "still", "show-hand": "hand", "one-hand": "one", "not-a-hand": "hand", closer: "closer", further: "further",
  centre: "centre", flatter: "flat", "hold-still": "still", "too-bright": "bright", "too-dark": "dark",
  "fingers-apart": "apart",
};
// Screens whose detail tells the other way to enter: the shop's own words go in its place.
const tellsOtherWay = new Set(["step-up", "code-unavailable", "refused", "locked-out", "unreachable", "sensor", "offline"]);

let state = { screen: "starting", language: "en", lane: "", progress: 0 };
let countdown;

// Setting the same text again would have a screen reader say it again.
function say(id, text) {
  if (at(id).textContent !== text) at(id).textContent = text;
}

function show(next) {
  state = next;
  const words = texts[state.language] ?? texts.en;
  const open = state.screen === "unreachable" && state.when_unreachable === "open";
  const screen = open ? "unreachable-open" : state.screen;
  const guiding = screen === "guidance";
  const guidance = state.guidance ?? "ready";
  const [headline, detail] = guiding ? words.guidance[guidance] : words[screen];
  const own = state.other_way && tellsOtherWay.has(screen) ? state.other_way : detail;

  document.documentElement.lang = state.language;
  document.body.dataset.screen = screen;
  at("icon").setAttribute("href", `#i-${guiding ? guidanceIcons[guidance] : icons[screen]}`);
  at("progress").setAttribute("stroke-dasharray", `${guiding ? state.progress * 100 : 0} 100`);
  say("headline", headline);
  say("detail", own);
  say("other-way", state.other_way ? `${words.otherWayLead} ${state.other_way}` : words.otherWay);
  say("lane", state.lane ? `${words.lane} ${state.lane.replace(/^lane-/, "")}` : "");
  showKeypad(screen === "keypad", words);
  clearInterval(countdown);
  count();
  if (state.until_unix_ms) countdown = setInterval(count, 250);
}

/** Keys are built anew for each person: nothing of the one before is left. */
function showKeypad(wanted, words) {
  const form = at("keypad");
  if (wanted === !form.hidden) return;
  form.hidden = !wanted;
  if (wanted) build(form, words);
  else forget(form);
}

addEventListener("keydown", (event) => {
  if (!at("keypad").hidden) pressed(event, at("keypad"), texts[state.language] ?? texts.en);
});

function count() {
  const left = state.until_unix_ms ? Math.ceil((state.until_unix_ms - Date.now()) / 1000) : 0;
  const words = texts[state.language] ?? texts.en;
  say("countdown", left > 0 ? words.seconds(left) : "");
}

// Longer than the gate takes to start again: after that, people should know how else to enter.
const OFFLINE_AFTER_MS = 3000;
let connected = Date.now();

function follow() {
  const socket = new WebSocket(`ws://${location.host}/api/live`);
  socket.onmessage = (message) => {
    show(JSON.parse(message.data));
    showStage();
  };
  socket.onopen = () => { connected = Infinity; };
  socket.onclose = () => {
    if (connected === Infinity) connected = Date.now();
    if (Date.now() - connected > OFFLINE_AFTER_MS) {
      show({ ...state, screen: "offline", guidance: null, until_unix_ms: null });
    }
    setTimeout(follow, 1000);
  };
}

async function showStage() {
  if (!state.stage || !at("stage").hidden) return;
  at("stage").hidden = false;
  const { build } = await import("./stage.js");
  build(at("stage"));
}

show(state);
follow();
