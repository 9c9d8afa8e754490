// A link that opens one attachment until it expires, signed here: no request is made. Node.js 18 or later.
//
// node link.mjs DATABASE DOCUMENT ATTACHMENT SECONDS
//
// COUCHGATE_SIGNING_KEY is one of couchgate's [download_token] signing_keys, ID:SECRET.
// COUCHGATE_URL is where clients reach couchgate.
import { createHmac } from "node:crypto";

function fail(message) {
  console.error(message);
  process.exit(1);
}

const [seconds, ...names] = [process.argv[5], ...process.argv.slice(2, 5)];
if (process.argv.length !== 6 || !/^[0-9]+$/.test(seconds)) {
  fail("link.mjs DATABASE DOCUMENT ATTACHMENT SECONDS");
}
const key = /^([^:]*):(.*)$/.exec(process.env.COUCHGATE_SIGNING_KEY ?? "");
if (!key) fail("COUCHGATE_SIGNING_KEY must be ID:SECRET");
const [, id, secret] = key;
const url = (process.env.COUCHGATE_URL ?? "http://127.0.0.1:5994").replace(/\/+$/, "");

// What is signed has the names as they are, a line each; in the URL each is one segment.
const signed = ["couchgate1", id, Math.floor(Date.now() / 1000) + Number(seconds)];
const signature = createHmac("sha256", secret).update([...signed, ...names].join("\n")).digest("base64url");
const path = names.map(encodeURIComponent).join("/");
console.log(`${url}/${path}?token=${signed.join(".")}.${signature}`);
