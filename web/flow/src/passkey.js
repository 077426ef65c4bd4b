// Passkeys and security keys: makes one, uses one, or offers those the visitor has in the list of names that the browser
// suggests (conditional mediation).

const decode = (text) =>
  Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (char) => char.charCodeAt(0));

const encode = (buffer) =>
  btoa(Array.from(new Uint8Array(buffer), (byte) => String.fromCharCode(byte)).join(""))
    .replace(/\+/g, "-")
    .replace(/\//g, "_")
    .replace(/=+$/, "");

const withIds = (list) => (list ?? []).map((one) => ({ ...one, id: decode(one.id) }));

function creationOptions(json) {
  if (PublicKeyCredential.parseCreationOptionsFromJSON) return PublicKeyCredential.parseCreationOptionsFromJSON(json);
  return {
    ...json,
    challenge: decode(json.challenge),
    user: { ...json.user, id: decode(json.user.id) },
    excludeCredentials: withIds(json.excludeCredentials),
  };
}

function requestOptions(json) {
  if (PublicKeyCredential.parseRequestOptionsFromJSON) return PublicKeyCredential.parseRequestOptionsFromJSON(json);
  return { ...json, challenge: decode(json.challenge), allowCredentials: withIds(json.allowCredentials) };
}

/** The credential as JSON. Password managers that stand in for the browser may lack or break `toJSON`. */
function answer(credential) {
  try {
    return credential.toJSON();
  } catch {
    const response = {};
    for (const part of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
      if (credential.response[part]) response[part] = encode(credential.response[part]);
    }
    const { id, type, rawId, authenticatorAttachment } = credential;
    const clientExtensionResults = credential.getClientExtensionResults();
    return { id, type, rawId: encode(rawId), authenticatorAttachment, clientExtensionResults, response };
  }
}

/** Straight away: what else the form asks for is not needed, so its checks must not stand in the way. */
function send(input, credential) {
  input.value = JSON.stringify(answer(credential));
  input.form.submit();
}

async function suggest(input) {
  if (!(await globalThis.PublicKeyCredential?.isConditionalMediationAvailable?.())) return;
  const publicKey = requestOptions(JSON.parse(input.dataset.suggest));
  // No passkey chosen, or none there: the form is still to be filled in.
  const credential = await navigator.credentials.get({ mediation: "conditional", publicKey }).catch(() => null);
  if (credential) send(input, credential);
}

export function start(element) {
  if (element.dataset.suggest) return suggest(element);
  const input = element.querySelector("input");
  const button = element.querySelector("button");
  const texts = [...element.querySelectorAll("[data-when]")];
  const is = (name) => (text) => text.dataset.when === name;
  const say = (name) => texts.forEach((text) => (text.hidden = !is(name)(text)));
  if (!globalThis.PublicKeyCredential) return say("unsupported");
  const { create, request } = element.dataset;
  const ask = async () => {
    say("waiting");
    button.disabled = true;
    try {
      const credential = create
        ? await navigator.credentials.create({ publicKey: creationOptions(JSON.parse(create)) })
        : await navigator.credentials.get({ publicKey: requestOptions(JSON.parse(request)) });
      send(input, credential);
    } catch (error) {
      say(texts.some(is(error.name)) ? error.name : "failed");
      button.textContent = button.dataset.again;
      button.disabled = false;
      button.focus();
    }
  };
  button.addEventListener("click", ask);
  button.hidden = false;
  say(null);
  if ("auto" in element.dataset) return ask();
}
