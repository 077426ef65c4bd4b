// Signs out of several applications, each in a frame of its own, and goes on when all have answered or taken too long.

const PATIENCE = 5000;

const event = (target, name) => new Promise((resolve) => target.addEventListener(name, resolve, { once: true }));

export async function start(form) {
  const answers = [];
  for (const message of document.querySelectorAll("[data-logouts] form")) {
    answers.push(event(document.querySelector(`iframe[name="${message.target}"]`), "load"));
    message.submit();
  }
  // The page has loaded when the frames with an address of their own have.
  if (document.readyState !== "complete") answers.push(event(window, "load"));
  await Promise.race([Promise.all(answers), new Promise((resolve) => setTimeout(resolve, PATIENCE))]);
  form.requestSubmit();
}
