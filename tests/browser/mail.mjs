// A mail server that takes everything and keeps it (RFC 5321, what a client needs of it).
import { once } from "node:events";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

const CODES = { EHLO: 250, HELO: 250, MAIL: 250, RCPT: 250, RSET: 250, NOOP: 250, DATA: 354, QUIT: 221 };

function receive(socket, inbox) {
  let text = "";
  let letter = { to: [] };
  let isData = false;
  socket.setEncoding("utf8");
  socket.write("220 test ESMTP\r\n");
  socket.on("error", () => {});
  socket.on("data", (chunk) => {
    text += chunk;
    for (;;) {
      const end = text.indexOf(isData ? "\r\n.\r\n" : "\r\n");
      if (end < 0) return;
      const line = text.slice(0, end);
      text = text.slice(end + (isData ? 5 : 2));
      if (isData) {
        inbox.push({ ...letter, raw: line.replace(/^\.\./gm, ".") });
        [letter, isData] = [{ to: [] }, false];
        socket.write("250 taken\r\n");
        continue;
      }
      const verb = line.slice(0, 4).toUpperCase();
      if (verb === "RCPT") letter.to.push(line.match(/<([^>]*)>/)?.[1]);
      isData = verb === "DATA";
      socket.write(`${CODES[verb] ?? 500} ok\r\n`);
      if (verb === "QUIT") socket.end();
    }
  });
}

/** The readable text of a letter: its first plain part, decoded. */
function plainText(raw) {
  const part = raw.match(/content-type: text\/plain[^]*?\r\n\r\n([^]*?)(?:\r\n--|$)/i);
  const head = raw.slice(Math.max(0, part.index - 300), part.index + part[0].indexOf("\r\n\r\n"));
  const encoding = [...head.matchAll(/content-transfer-encoding: *(\S+)/gi)].at(-1)?.[1].toLowerCase();
  if (encoding === "base64") return Buffer.from(part[1], "base64").toString();
  if (encoding !== "quoted-printable") return part[1];
  const bytes = part[1].replace(/=\r\n/g, "").replace(/=([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
  return Buffer.from(bytes, "latin1").toString();
}

export async function startMailServer() {
  const inbox = [];
  const server = createServer((socket) => receive(socket, inbox)).listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    env: {
      WEIR_EMAIL__HOST: "127.0.0.1",
      WEIR_EMAIL__PORT: String(server.address().port),
      WEIR_EMAIL__FROM: "id@example.test",
    },
    inbox,
    /** The text of the next letter to an address; each is given once. */
    async next(address) {
      for (const until = Date.now() + 15_000; Date.now() < until; await sleep(50)) {
        const at = inbox.findIndex((letter) => letter.to.includes(address));
        if (at >= 0) return plainText(inbox.splice(at, 1)[0].raw);
      }
      throw new Error(`no letter to ${address}; there are ${JSON.stringify(inbox.map((letter) => letter.to))}`);
    },
    stop: () => server.close(),
  };
}

/** The first link of a text. */
export const link = (text) => text.match(/https?:\/\/\S+/)[0].replace(/[>)\]]+$/, "");
