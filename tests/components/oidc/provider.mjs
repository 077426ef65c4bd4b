// A certified OpenID Connect provider (npm oidc-provider) with people of a test, and with ways to misbehave.
// Settings come as JSON on the command line: {port, clients, people}; POST /misbehave {mode, people} changes what it does
// wrong and what it tells.
import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { SignJWT, decodeJwt, exportJWK, generateKeyPair } from "jose";
import Provider from "oidc-provider";

const { port, clients, people } = JSON.parse(process.argv[2]);
const issuer = `http://127.0.0.1:${port}`;
const { privateKey, publicKey } = await generateKeyPair("RS256", { extractable: true });
const other = await generateKeyPair("RS256", { extractable: true });
const key = { ...(await exportJWK(privateKey)), kid: "first", alg: "RS256", use: "sig" };
const calls = [];
let mode = "";

const provider = new Provider(issuer, {
  clients,
  jwks: { keys: [key] },
  cookies: { keys: ["a key of a test"] },
  claims: {
    openid: ["sub"],
    email: ["email", "email_verified"],
    profile: ["name", "preferred_username", "groups"],
  },
  features: { devInteractions: { enabled: true } },
  pkce: { required: (_context, client) => client.clientId === "with-pkce" },
  renderError: (context, out) => {
    context.type = "json";
    context.body = out;
  },
  findAccount: (_context, id) => ({ accountId: id, claims: () => ({ sub: id, ...people[id] }) }),
});

/** The statement with other claims or another signature. */
async function forge(token) {
  const claims = decodeJwt(token);
  const header = { alg: "RS256", kid: "first" };
  const now = Math.floor(Date.now() / 1000);
  let signer = privateKey;
  if (mode === "nonce") claims.nonce = "of another sign-in";
  else if (mode === "no-nonce") delete claims.nonce;
  else if (mode === "expired") Object.assign(claims, { iat: now - 7200, exp: now - 3600 });
  else if (mode === "audience") claims.aud = "somebody-else";
  else if (mode === "issuer") claims.iss = "https://evil.example.test";
  else if (mode === "signature") signer = other.privateKey;
  else if (mode === "kid") Object.assign(header, { kid: "unheard-of" });
  else if (mode === "subject") claims.sub = "somebody-else";
  else if (mode === "none") {
    const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
    return `${part({ alg: "none" })}.${part(claims)}.`;
  } else if (mode === "confusion") {
    const secret = new TextEncoder().encode(JSON.stringify(await exportJWK(publicKey)));
    return new SignJWT(claims).setProtectedHeader({ alg: "HS256", kid: "first" }).sign(secret);
  } else return token;
  return new SignJWT(claims).setProtectedHeader(header).sign(signer);
}

provider.use(async (context, next) => {
  const at = context.path;
  const watched = at === "/token" || at === "/me";
  if (watched) calls.push(at);
  if (watched && mode === "slow") await sleep(13_000);
  if (watched && (mode === "garbage" || (mode === "garbage-profile" && at === "/me"))) {
    context.type = "html";
    context.body = "<html>nothing to see</html>";
    return;
  }
  if (watched && mode === "huge") {
    context.type = "json";
    context.body = JSON.stringify({ access_token: "x".repeat(2 * 1024 * 1024) });
    return;
  }
  if (watched && mode === "broken") {
    context.status = 500;
    context.body = { error: "server_error", error_description: "out of order" };
    return;
  }
  await next();
  if (at === "/token" && context.status === 200 && context.body?.id_token) {
    const answer = context.body;
    if (mode === "no-statement") delete answer.id_token;
    else context.body = { ...answer, id_token: await forge(answer.id_token) };
  }
});

const answer = provider.callback();
createServer((request, response) => {
  if (request.url === "/calls") return response.end(JSON.stringify(calls));
  if (request.url === "/misbehave") {
    let text = "";
    request.on("data", (piece) => (text += piece));
    return request.on("end", () => {
      const wish = JSON.parse(text);
      mode = wish.mode ?? "";
      Object.assign(people, wish.people);
      calls.length = 0;
      response.end();
    });
  }
  return answer(request, response);
}).listen(port, "127.0.0.1", () => console.log("listening"));
