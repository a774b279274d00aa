// Keys to type a second factor with. What is typed leaves this page once, to the gate, and is forgotten at once; on the
// screen it is dots, because a queue looks on.

const DIGITS_MIN = 4;
const DIGITS_MAX = 8;

let typed = "";
let dots;
let send;

export function build(form, words) {
  typed = "";
  dots = document.createElement("p");
  dots.className = "dots-typed";
  dots.setAttribute("role", "img");
  const keys = document.createElement("div");
  keys.className = "keys";
  for (const digit of "123456789") keys.append(key(digit, () => type(digit, words)));
  keys.append(key("⌫", () => type(null, words), words.keypadDelete), key("0", () => type("0", words)));
  send = key("✓", () => {}, words.keypadSend);
  send.type = "submit";
  send.className = "send";
  keys.append(send);
  const cancel = key(words.keypadCancel, () => post({ cancel: true }));
  cancel.className = "cancel";
  form.replaceChildren(dots, keys, cancel);
  form.onsubmit = (event) => {
    event.preventDefault();
    if (typed.length < DIGITS_MIN) return;
    post({ digits: typed });
    typed = "";
    show(words);
  };
  show(words);
}

export function forget(form) {
  typed = "";
  form.replaceChildren();
}

/** A keyboard of its own, where the reader has one. */
export function pressed(event, form, words) {
  if (/^[0-9]$/.test(event.key)) type(event.key, words);
  else if (event.key === "Backspace") type(null, words);
  else if (event.key === "Enter") form.requestSubmit();
  else if (event.key === "Escape") post({ cancel: true });
  else return;
  event.preventDefault();
}

function key(text, act, label) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = text;
  if (label) button.setAttribute("aria-label", label);
  button.addEventListener("click", act);
  return button;
}

function type(digit, words) {
  typed = digit === null ? typed.slice(0, -1) : (typed + digit).slice(0, DIGITS_MAX);
  show(words);
}

function show(words) {
  // Places of a code's first four digits are there from the start.
  dots.textContent = "●".repeat(typed.length) + "○".repeat(Math.max(0, DIGITS_MIN - typed.length));
  dots.setAttribute("aria-label", words.keypadTyped(typed.length));
  send.disabled = typed.length < DIGITS_MIN;
}

async function post(body) {
  try {
    await fetch("api/keypad", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
  } catch {
    // The gate is gone; the page says so by itself.
  }
}
