// The captcha of a page: our own calculation, or the widget of a provider. Puts the token into the form; sends the form
// when the captcha is all the page is about, or when the person already tried to send it.

/** A shown task is good for ten minutes at least. */
const REFRESH = 9 * 60 * 1000;
const READY = "weirCaptchaReady";

/** Solves in a worker, so that the page stays alive; on the page itself where there are none. */
function calculate(solver, task, report) {
  return new Promise((resolve, reject) => {
    const here = () => import(solver).then((module) => module.solve(task, report)).then(resolve, reject);
    let worker;
    try {
      worker = new Worker(solver, { type: "module" });
    } catch {
      here();
      return;
    }
    worker.addEventListener("message", ({ data }) => {
      if (!data.token) return report(data.solved, data.of);
      worker.terminate();
      return resolve(data.token);
    });
    worker.addEventListener("error", () => {
      worker.terminate();
      here();
    });
    worker.postMessage(task);
  });
}

/** The task as the server would show it now. */
async function currentTask() {
  const path = location.pathname.replace("/if/flow/", "/api/v3/flows/executor/");
  const answer = await fetch(`${path}?query=${encodeURIComponent(location.search.slice(1))}`);
  const challenge = await answer.json();
  return challenge.captcha_stage?.site_key ?? challenge.site_key;
}

function own(box, ui) {
  const bar = box.querySelector("progress");
  let task = box.dataset.key;
  const run = async () => {
    const mine = task;
    ui.take("");
    ui.say("solving");
    bar.hidden = false;
    bar.value = 0;
    const token = await calculate(box.dataset.solver, mine, (solved, of) => {
      if (mine === task) bar.value = solved / of;
    });
    if (mine !== task) return;
    bar.hidden = true;
    ui.take(token);
  };
  const refresh = async () => {
    const next = await currentTask();
    if (!next || next === task) return;
    task = next;
    await run();
  };
  setInterval(() => refresh().catch(() => {}), REFRESH);
  run().catch(ui.fail);
  return { wanted() {} };
}

/** Loads the provider's script; all of them understand these two parameters. */
function load(address) {
  const url = new URL(address, location.href);
  if (!url.searchParams.has("render")) url.searchParams.set("render", "explicit");
  url.searchParams.set("onload", READY);
  return new Promise((resolve, reject) => {
    globalThis[READY] = resolve;
    const script = document.createElement("script");
    script.src = url.href;
    script.async = true;
    script.addEventListener("error", () => reject(new Error("the script cannot be loaded")));
    document.head.append(script);
  }).then(() => url.searchParams.get("render"));
}

function isDark() {
  const theme = document.documentElement.dataset.theme;
  return theme === "dark" || (theme === "automatic" && matchMedia("(prefers-color-scheme: dark)").matches);
}

function provider(box, ui) {
  const { key, script } = box.dataset;
  const interactive = "interactive" in box.dataset;
  const invisible = !interactive;
  const action = { action: "authenticate" };
  let execute;
  let wanted = "auto" in box.dataset;
  load(script)
    .then((render) => {
      const { turnstile, hcaptcha, grecaptcha } = globalThis;
      const api = turnstile ?? hcaptcha ?? (grecaptcha?.enterprise?.render ? grecaptcha.enterprise : grecaptcha);
      if (!api) throw new Error("the script is no captcha");
      // Some answer by callback, some by promise, some by both.
      const taken = (answer) => answer && ui.take(answer.response ?? answer);
      if (api === grecaptcha && render !== "explicit") {
        execute = () => api.execute(key, action).then(taken, ui.fail);
      } else {
        const options = {
          sitekey: key,
          callback: taken,
          "expired-callback": () => ui.take(""),
          "error-callback": () => ui.fail(),
          theme: isDark() ? "dark" : "light",
        };
        if (api === turnstile) options.appearance = interactive ? "always" : "interaction-only";
        else options.size = interactive ? "normal" : "invisible";
        const widget = api.render(box.querySelector("[data-widget]"), options);
        if (invisible && api !== turnstile) execute = () => api.execute(widget, action)?.then?.(taken, ui.fail);
      }
      ui.say(interactive ? "click" : "idle");
      if (wanted) execute?.();
    })
    .catch(ui.fail);
  return {
    wanted() {
      wanted = true;
      execute?.();
    },
  };
}

export function start(box) {
  const { form } = box.querySelector("input");
  const input = box.querySelector("input");
  const status = box.querySelector("[role=status]");
  let send = "auto" in box.dataset;
  const ui = {
    say(what) {
      status.textContent = box.dataset[what] ?? "";
    },
    take(token) {
      input.value = token;
      if (!token) return;
      ui.say("done");
      if (send) form.requestSubmit();
    },
    fail() {
      ui.say("failed");
      status.classList.add("is-danger");
    },
  };
  ui.say("loading");
  for (const button of form.querySelectorAll("[data-after-captcha]")) button.hidden = false;
  const captcha = box.dataset.solver ? own(box, ui) : provider(box, ui);
  form.addEventListener("submit", (event) => {
    if (input.value) return;
    event.preventDefault();
    // The page counts as busy only while its answer is under way.
    form.removeAttribute("aria-busy");
    send = true;
    captcha.wanted();
  });
}
