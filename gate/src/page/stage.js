// What stands before a simulated sensor: a panel for demonstrations, present only with one.

const conditions = [
  "good", "too-far", "too-close", "tilted", "too-bright", "too-dark", "fingers-closed", "off-centre", "moving",
];

let person = 1;
let position = "left";
let sample = 0;

async function put(scene) {
  const answer = await fetch("stage", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(scene),
  });
  if (!answer.ok) console.error((await answer.json()).error.message);
}

function hand(condition) {
  sample += 1;
  return put({ show: "hand", person, position, sample, condition });
}

function group(name, buttons) {
  const set = document.createElement("fieldset");
  const legend = document.createElement("legend");
  legend.textContent = name;
  set.append(legend);
  for (const [text, act] of buttons) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = text;
    button.addEventListener("click", act);
    set.append(button);
  }
  return set;
}

export function build(panel) {
  const details = document.createElement("details");
  const summary = document.createElement("summary");
  summary.textContent = "Simulated sensor";
  const people = [1, 2, 3, 4, 5, 6].flatMap((number) => ["left", "right"].map((side) => [
    `${number} ${side}`,
    () => { [person, position] = [number, side]; return hand("good"); },
  ]));
  details.append(
    summary,
    group("Show the hand of person", people),
    group("The same hand, held", conditions.map((condition) => [condition, () => hand(condition)])),
    group("Or", [
      ["take it away", () => put({ show: "empty" })],
      ["two hands", () => put({ show: "two-hands", person })],
      ["a face", () => put({ show: "face" })],
      ["unplug the sensor", () => put({ show: "unplugged" })],
    ]),
  );
  panel.append(details);
}
