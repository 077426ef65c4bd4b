// Solves the tasks of Weir's own captcha (see crates/weir-stages/src/captcha/proof.rs). Started as a worker it takes a task
// as message and answers with messages: { solved, of } after each puzzle, { token } at the end.

const fraction = (number) => ((number % 1) * 0x100000000) | 0;

/** The constants of SHA-256: fractions of the cube roots, and of the square roots, of the first primes. */
const ROUND = new Int32Array(64);
const START = new Int32Array(8);
for (let number = 2, found = 0; found < 64; number += 1) {
  let divisor = 2;
  while (divisor * divisor <= number && number % divisor) divisor += 1;
  if (divisor * divisor <= number) continue;
  if (found < 8) START[found] = fraction(Math.sqrt(number));
  ROUND[found] = fraction(Math.cbrt(number));
  found += 1;
}

const words = new Int32Array(64);

/** Adds the block in the first sixteen words to the state. */
function compress(state) {
  for (let i = 16; i < 64; i += 1) {
    const x = words[i - 15];
    const y = words[i - 2];
    const low = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
    const high = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
    words[i] = (words[i - 16] + low + words[i - 7] + high) | 0;
  }
  let [a, b, c, d, e, f, g, h] = state;
  for (let i = 0; i < 64; i += 1) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + ROUND[i] + words[i]) | 0;
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + t1) | 0;
    d = c;
    c = b;
    b = a;
    a = (t1 + t2) | 0;
  }
  state[0] += a;
  state[1] += b;
  state[2] += c;
  state[3] += d;
  state[4] += e;
  state[5] += f;
  state[6] += g;
  state[7] += h;
}

/** SHA-256 of a text, as eight words. */
function digest(text) {
  const bytes = new TextEncoder().encode(text);
  const padded = new DataView(new ArrayBuffer((((bytes.length + 8) >> 6) + 1) << 6));
  bytes.forEach((byte, at) => padded.setUint8(at, byte));
  padded.setUint8(bytes.length, 0x80);
  padded.setUint32(padded.byteLength - 4, bytes.length * 8);
  const state = Int32Array.from(START);
  for (let block = 0; block < padded.byteLength; block += 64) {
    for (let i = 0; i < 16; i += 1) words[i] = padded.getInt32(block + i * 4);
    compress(state);
  }
  return state;
}

/** The smallest number that solves a puzzle. */
function solvePuzzle(seed, puzzle, bits) {
  const state = new Int32Array(8);
  for (let number = 0; number <= 0xffffffff; number += 1) {
    words.fill(0, 0, 16);
    words.set(seed);
    words[8] = puzzle;
    words[9] = number;
    // The message is 40 bytes long: its end mark and its length in bits.
    words[10] = 0x80000000 | 0;
    words[15] = 320;
    state.set(START);
    compress(state);
    if (Math.clz32(state[0]) >= bits) return number;
  }
  throw new Error("no solution");
}

const pause = () => new Promise((resolve) => setTimeout(resolve));

/** The token for a task; `report(solved, of)` is called after each puzzle. */
export async function solve(task, report) {
  const [version, bits, puzzles] = task.split(".");
  if (version !== "v1") throw new Error(`unknown task ${version}`);
  const seed = digest(task);
  const numbers = [];
  while (numbers.length < Number(puzzles)) {
    numbers.push(solvePuzzle(seed, numbers.length, Number(bits)));
    report(numbers.length, Number(puzzles));
    await pause();
  }
  return `${task}:${numbers.join(",")}`;
}

if (globalThis.WorkerGlobalScope && globalThis instanceof globalThis.WorkerGlobalScope) {
  globalThis.addEventListener("message", async ({ data }) => {
    const token = await solve(data, (solved, of) => globalThis.postMessage({ solved, of }));
    globalThis.postMessage({ token });
  });
}
