// Signs requests with oauth-1.0a and sends them: a request from each line of stdin, its answer as a line to stdout,
// both as JSON.

import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { createInterface } from 'node:readline';
import { signer } from './signer.js';

const PATIENCE = 30_000;

async function send(job) {
  const { method, place } = job;
  const [, origin, authority, path] = /^(https?:\/\/([^/]*))(.*)$/i.exec(job.url);
  const encode = ([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`;
  let target = job.params ? `${path}?${job.params.map(encode).join('&')}` : path;
  const headers = { Host: job.host ?? authority, ...job.headers };
  let body = job.json && JSON.stringify(job.json);
  if (body) headers['Content-Type'] = 'application/json';

  const { oauth, authorize } = signer(job);
  const signed = authorize({ url: origin + target, method, data: { ...job.extra, ...grouped(job.form ?? []) } });
  const protocol = Object.entries(signed).filter(([name]) => name.startsWith('oauth_'));
  if (place === 'header') {
    const { Authorization } = oauth.toHeader(signed);
    // The library leaves out a realm that is empty; CouchDB 1.x's sends it.
    headers.Authorization = job.realm === '' ? Authorization.replace('OAuth ', 'OAuth realm="",') : Authorization;
  }
  if (place === 'query') target += (target.includes('?') ? '&' : '?') + protocol.map(encode).join('&');
  if (job.form) {
    body = new URLSearchParams(place === 'body' ? [...job.form, ...protocol] : job.form).toString();
    headers['Content-Type'] = 'application/x-www-form-urlencoded';
  }
  if (body) headers['Content-Length'] = Buffer.byteLength(body);

  const [host, port] = job.connect.split(':');
  const ca = job.ca && readFileSync(job.ca);
  const answer = await new Promise((resolve, reject) => {
    const request = (ca ? https : http).request({ host, port, ca, method, path: target, headers, timeout: PATIENCE });
    request.on('timeout', () => request.destroy(new Error('no answer')));
    request.on('response', resolve).on('error', reject).end(body);
  });
  const chunks = await answer.setEncoding('utf8').toArray();
  return { sent: target, status: answer.statusCode, body: chunks.join('') };
}

/** Names and values as oauth-1.0a takes them: several values of a name are a list. */
function grouped(pairs) {
  const data = {};
  for (const [name, value] of pairs) data[name] = name in data ? [data[name], value].flat() : value;
  return data;
}

/** PouchDB takes a while to load, and few ask for it. */
async function replicate(job) {
  return (await import('./replicate.js')).replicate(job);
}

for await (const line of createInterface({ input: process.stdin })) {
  const job = JSON.parse(line);
  const answer = await (job.replicate ? replicate(job) : send(job)).catch((error) => ({ error: `${error.name}: ${error.message}` }));
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
