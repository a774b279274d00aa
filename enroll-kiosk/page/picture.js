// The live picture with what was found in it: the hand's outline, and a ring of one arc for each view that is wanted.

import { h } from "./dom.js";
import { palm } from "./icons.js";
import { svg } from "./dom.js";

const NS = "http://www.w3.org/2000/svg";
const RADIUS = 216;
const GAP = 0.07;

const shape = (tag, attributes) => {
  const element = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
};

/** Where an arc from `from` to `to` (shares of a turn, clockwise from the top) runs. */
function arc(from, to) {
  const at = (share) => {
    const angle = (share - 0.25) * 2 * Math.PI;
    return `${(320 + RADIUS * Math.cos(angle)).toFixed(2)} ${(240 + RADIUS * Math.sin(angle)).toFixed(2)}`;
  };
  return `M${at(from)} A${RADIUS} ${RADIUS} 0 ${to - from > 0.5 ? 1 : 0} 1 ${at(to)}`;
}

/** A canvas that shows JPEGs as they come, newest only. */
export class Canvas {
  constructor() {
    this.element = h("canvas", { width: 640, height: 480, "aria-hidden": "true" });
    this.drawing = false;
  }

  async show(jpeg) {
    if (this.drawing) return;
    this.drawing = true;
    try {
      const bitmap = await createImageBitmap(jpeg);
      const { element } = this;
      if (element.width !== bitmap.width || element.height !== bitmap.height) {
        element.width = bitmap.width;
        element.height = bitmap.height;
      }
      element.getContext("2d").drawImage(bitmap, 0, 0);
      bitmap.close();
    } finally {
      this.drawing = false;
    }
  }
}

/** The capture's picture. */
export class LivePicture {
  constructor(label, position, mirrored) {
    this.canvas = new Canvas();
    this.mirrored = mirrored;
    this.outline = shape("polygon", { class: "outline", points: "" });
    this.square = shape("polygon", { class: "square", points: "" });
    this.ring = shape("g", { class: "ring" });
    const found = shape("svg", { viewBox: "0 0 640 480", class: "found", "aria-hidden": "true" });
    found.append(this.outline, this.square);
    const ring = shape("svg", { viewBox: "0 0 640 480", class: "around", "aria-hidden": "true" });
    ring.append(this.ring);
    // Seen as in a mirror, a hand's other side: its own thumb is on the side of the screen where its owner has it.
    const side = mirrored ? (position === "left" ? "right" : "left") : position;
    this.where = h("div", { class: "where" }, svg(palm(side ?? "right")));
    const sensor = h("div", { class: mirrored ? "sensor mirrored" : "sensor" }, this.canvas.element, found);
    this.element = h("div", { class: "picture", role: "img", "aria-label": label }, sensor, this.where, ring);
  }

  /** Draws what the state says about the capture. */
  update(capture) {
    const points = (corners) => (corners ?? []).map(([x, y]) => `${x * 640},${y * 480}`).join(" ");
    this.outline.setAttribute("points", points(capture.outline));
    this.square.setAttribute("points", points(capture.palm_square));
    this.where.classList.toggle("gone", capture.hand_present);
    this.element.classList.toggle("well", capture.hand_present && capture.guidance === null);
    this.element.classList.toggle("advised", capture.hand_present && capture.guidance !== null);
    const share = 1 / capture.wanted;
    const gap = capture.wanted > 1 ? GAP * share : 0.0001;
    this.ring.replaceChildren(
      ...Array.from({ length: capture.wanted }, (_, number) => {
        const [from, to] = [number * share + gap / 2, (number + 1) * share - gap / 2];
        const full = number < capture.captured ? 1 : number === capture.captured ? capture.progress : 0;
        const track = shape("path", { class: "track", d: arc(from, to) });
        if (full <= 0) return [track];
        return [track, shape("path", { class: "fill", d: arc(from, from + (to - from) * Math.min(full, 0.999)) })];
      }).flat(),
    );
  }
}
