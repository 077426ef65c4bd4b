// Offers the visitor's passkeys in the list of names the browser suggests (conditional mediation).

const decode = (text) =>
  Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (char) => char.charCodeAt(0));

const encode = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replace(/\+/g, "-")
    .replace(/\//g, "_")
    .replace(/=+$/, "");

function requestOptions(json) {
  const options = json.publicKey ?? json;
  if (PublicKeyCredential.parseRequestOptionsFromJSON) return PublicKeyCredential.parseRequestOptionsFromJSON(options);
  return {
    ...options,
    challenge: decode(options.challenge),
    allowCredentials: (options.allowCredentials ?? []).map((one) => ({ ...one, id: decode(one.id) })),
  };
}

function assertion(credential) {
  if (credential.toJSON) return credential.toJSON();
  const { authenticatorData, clientDataJSON, signature, userHandle } = credential.response;
  return {
    id: credential.id,
    rawId: encode(credential.rawId),
    type: credential.type,
    clientExtensionResults: credential.getClientExtensionResults(),
    response: {
      authenticatorData: encode(authenticatorData),
      clientDataJSON: encode(clientDataJSON),
      signature: encode(signature),
      userHandle: userHandle ? encode(userHandle) : null,
    },
  };
}

export async function offer(hook) {
  if (!(await PublicKeyCredential.isConditionalMediationAvailable?.())) return;
  const credential = await navigator.credentials.get({
    mediation: "conditional",
    publicKey: requestOptions(JSON.parse(hook.dataset.passkey)),
  });
  if (!credential) return;
  hook.value = JSON.stringify(assertion(credential));
  // Straight away: the name and the password are not needed, so their checks must not stand in the way.
  hook.form.submit();
}
