// Asks whether the account at Duo was opened, and goes on when it was.

const PAUSE = 3000;

const cookie = (name) =>
  document.cookie
    .split("; ")
    .find((pair) => pair.startsWith(`${name}=`))
    ?.slice(name.length + 1) ?? "";

export async function start(status) {
  const { form } = document.querySelector("form.step button[type=submit]");
  const base = location.pathname.slice(0, location.pathname.indexOf("/if/flow/"));
  const url = `${base}/api/v3/stages/authenticator/duo/${encodeURIComponent(status.dataset.duo)}/enrollment_status/`;
  status.textContent = status.dataset.waiting;
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
    const answer = await fetch(url, { method: "POST", headers: { "X-authentik-CSRF": cookie("authentik_csrf") } }).catch(() => null);
    // Something is in the way: the button still works.
    if (!answer || answer.status >= 500) continue;
    if (!answer.ok) return;
    const { duo_response: state } = await answer.json();
    if (state === "waiting") continue;
    status.textContent = state === "success" ? status.dataset.done : status.dataset.invalid;
    if (state === "success") form.requestSubmit();
    return;
  }
}
