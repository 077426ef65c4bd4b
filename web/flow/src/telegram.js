// Signs in with Telegram: its button is a frame that says who the person is; the server checks the signature of that.

export function start(form) {
  const { service, bot, write } = form.dataset;
  const frame = form.querySelector("iframe");
  const address = new URL(`${service}/embed/${encodeURIComponent(bot)}`);
  address.search = new URLSearchParams({
    origin: location.origin,
    return_to: location.origin + location.pathname,
    size: "large",
    ...(write !== undefined && { request_access: "write" }),
  });
  addEventListener("message", ({ source, origin, data }) => {
    if (source !== frame.contentWindow || origin !== address.origin) return;
    const message = typeof data === "string" ? JSON.parse(data) : data;
    if (message?.event !== "auth_user") return;
    for (const [name, value] of Object.entries(message.auth_data)) {
      const input = document.createElement("input");
      Object.assign(input, { type: "hidden", name: typeof value === "number" ? `${name}:int` : name, value });
      form.append(input);
    }
    form.requestSubmit();
  });
  frame.src = address;
  frame.hidden = false;
}
