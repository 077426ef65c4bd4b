// Comforts for pages that work without any script.

for (const button of document.querySelectorAll("[data-reveal]")) {
  const input = document.getElementById(button.dataset.reveal);
  if (!input) continue;
  const show = (visible) => {
    input.type = visible ? "text" : "password";
    button.setAttribute("aria-pressed", String(visible));
  };
  button.addEventListener("click", () => {
    show(input.type === "password");
    input.focus();
  });
  // Browsers remember what was typed into a text field, so a password is one again before it is sent.
  input.form?.addEventListener("submit", () => show(false));
  button.hidden = false;
}

const NAME_KEY = "weir:identifier";
for (const label of document.querySelectorAll("[data-remember]")) {
  const input = document.getElementById(label.dataset.remember);
  const box = label.querySelector("input");
  if (!input || !box) continue;
  try {
    const known = localStorage.getItem(NAME_KEY);
    box.checked = known !== null;
    if (known && !input.value) {
      input.value = known;
      document.querySelector("input[type=password]")?.focus();
    }
    input.form?.addEventListener("submit", () => {
      if (box.checked) localStorage.setItem(NAME_KEY, input.value);
      else localStorage.removeItem(NAME_KEY);
    });
    label.hidden = false;
  } catch {
    // No storage for this site: the choice is not offered.
  }
}

// One answer per page: a second press while the first is under way would only find the next step.
for (const form of document.querySelectorAll("form.step")) {
  form.addEventListener("submit", (event) => {
    if (form.getAttribute("aria-busy") === "true") event.preventDefault();
    else form.setAttribute("aria-busy", "true");
  });
}
addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  for (const form of document.querySelectorAll("form[aria-busy]")) form.removeAttribute("aria-busy");
});

// Codes are read aloud and copied in groups; the spaces between them are no part of the code.
for (const input of document.querySelectorAll("input.code")) {
  input.addEventListener("input", () => {
    const bare = input.value.replace(/\s+/g, "");
    if (bare !== input.value) input.value = bare;
  });
}

const frame = document.querySelector("[data-frame]");
if (frame) {
  const cover = document.querySelector("[data-frame-cover]");
  // The page has loaded when its frames have.
  if (cover && document.readyState !== "complete") {
    cover.hidden = false;
    addEventListener("load", () => (cover.hidden = true));
  }
  // A page of ours in the frame says that its work is done.
  addEventListener("message", ({ source, origin, data }) => {
    if (source !== frame.contentWindow || origin !== location.origin) return;
    if (data?.source === "goauthentik.io" && data.context === "flow-executor" && data.message === "submit") {
      frame.closest("form")?.requestSubmit();
    }
  });
}

if (document.querySelector("[data-frame-done]") && parent !== window) {
  parent.postMessage({ source: "goauthentik.io", context: "flow-executor", message: "submit" }, location.origin);
}

// What only some pages need comes in a module of its own; `data-failed` says what to tell when it does not work.
for (const element of document.querySelectorAll("[data-module]")) {
  import(element.dataset.module)
    .then((module) => module.start(element))
    .catch((error) => {
      console.warn(error);
      const status = element.querySelector("[role=status]");
      if (status && element.dataset.failed) status.textContent = element.dataset.failed;
    });
}

document.querySelector("form[data-autosubmit]")?.requestSubmit();
