// Waits for the agent on the device, and goes on without it when it does not answer in time.

export function start(form) {
  const { challenge, seconds } = form.dataset;
  // Whatever connects this page with an agent listens for the event below and calls `answer` with the agent's text.
  const answer = (text) => {
    if (text) {
      const input = document.createElement("input");
      Object.assign(input, { type: "hidden", name: "response", value: text });
      form.append(input);
    }
    form.requestSubmit();
  };
  let done = false;
  const once = (text) => {
    if (!done) answer(text);
    done = true;
  };
  document.dispatchEvent(new CustomEvent("weir:agent-challenge", { detail: { challenge, answer: once } }));
  setTimeout(once, Number(seconds) * 1000);
}
