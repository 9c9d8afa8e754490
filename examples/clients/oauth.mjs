// Requests signed with OAuth 1.0, by oauth-1.0a: npm install --no-save oauth-1.0a; Node.js 18 or later.
// The defaults are the quickstart's; `couchgate oauth add` makes others.
import { createHmac } from "node:crypto";
import OAuth from "oauth-1.0a";

const env = process.env;
const url = env.COUCHGATE_URL ?? "http://127.0.0.1:5994";
const token = { key: env.OAUTH_TOKEN ?? "token1", secret: env.OAUTH_TOKEN_SECRET ?? "tokensekr1t" };
const oauth = new OAuth({
  consumer: { key: env.OAUTH_CONSUMER_KEY ?? "consumer1", secret: env.OAUTH_CONSUMER_SECRET ?? "sekr1t" },
  signature_method: "HMAC-SHA256",
  hash_function: (text, key) => createHmac("sha256", key).update(text).digest("base64"),
});

async function couch(method, path, body) {
  const request = { method, url: url + path };
  const headers = { ...oauth.toHeader(oauth.authorize(request, token)) };
  if (body) headers["Content-Type"] = "application/json";
  const response = await fetch(request.url, { method, headers, body: body && JSON.stringify(body) });
  return (await response.text()).trim();
}

// Who am I?
console.log(await couch("GET", "/_session"));

// Write a document. The body is JSON, which no signature covers: use https.
console.log(await couch("POST", "/demo", { from: "Node.js" }));

// The query is signed, whatever is in it.
console.log(await couch("GET", `/demo/_all_docs?limit=1&startkey=${encodeURIComponent('"wel"')}`));
