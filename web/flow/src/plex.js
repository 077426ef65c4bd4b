// Signs in with Plex: asks for a PIN, lets the person confirm it in a window of Plex's own, hands the token to the server.

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function json(url, options) {
  const answer = await fetch(url, options);
  if (!answer.ok) throw new Error(`${new URL(url, location).pathname}: ${answer.status}`);
  return answer.json();
}

/** The token of the confirmed PIN; none when the window was closed or the PIN ran out. */
async function token(api, pin, headers, popup) {
  const end = Date.now() + Math.min(pin.expiresIn ?? 900, 900) * 1000;
  for (let closed = false; Date.now() < end && !closed; await wait(1500)) {
    // Asked once more after the window is gone: Plex closes it when all is well.
    closed = popup.closed;
    const { authToken } = await json(`${api}/${pin.id}`, { headers });
    if (authToken) return authToken;
  }
  return undefined;
}

export function start(button) {
  const { api, page, client, product, redeem } = button.dataset;
  const trouble = document.querySelector("[data-trouble]");
  const headers = { Accept: "application/json", "X-Plex-Client-Identifier": client, "X-Plex-Product": product };
  button.addEventListener("click", async () => {
    button.disabled = true;
    trouble.hidden = true;
    // Opened within the click, or it would be taken for an advertisement.
    const popup = open("", "_blank", "popup,width=550,height=700");
    try {
      const pin = await json(`${api}?strong=true`, { method: "POST", headers });
      const query = new URLSearchParams({ clientID: client, code: pin.code, "context[device][product]": product });
      popup.location = `${page}#?${query}`;
      const plex_token = await token(api, pin, headers, popup);
      if (!plex_token) throw new Error("not confirmed");
      const csrf = document.cookie.match(/(?:^|; )authentik_csrf=([^;]*)/)?.[1];
      const { to } = await json(redeem, {
        method: "POST",
        headers: { "Content-Type": "application/json", ...(csrf && { "X-authentik-CSRF": csrf }) },
        body: JSON.stringify({ plex_token }),
      });
      const target = new URL(to, location);
      if (!/^https?:$/.test(target.protocol)) throw new Error(`an address of ${target.protocol}`);
      location.assign(target);
    } catch (error) {
      console.warn("Plex:", error);
      popup?.close();
      trouble.hidden = false;
      button.disabled = false;
    }
  });
  button.hidden = false;
}
