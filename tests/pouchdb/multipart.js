import { gunzipSync } from 'node:zlib';
import { raw } from 'express';
import { CouchError } from './http.js';

/** Turns a document sent with its attachments as `multipart/related` into one with inline attachments. */
export const inlineAttachments = [raw({ type: 'multipart/related', limit: Infinity }), (req, res, next) => {
  if (Buffer.isBuffer(req.body)) {
    req.body = readDocument(req.body, req.headers['content-type']);
    req.headers['content-type'] = 'application/json';
  }
  next();
}];

function readDocument(body, contentType) {
  const boundary = /boundary="?([^";]+)/.exec(contentType)?.[1];
  // Latin-1 keeps every byte as one character.
  const [, ...parts] = `\r\n${body.toString('latin1')}`.split(`\r\n--${boundary}`);
  const contents = parts.map((part) => Buffer.from(part.slice(part.indexOf('\r\n\r\n') + 4), 'latin1'));
  if (contents.length < 2) throw new CouchError(400, 'bad_request', 'invalid multipart/related body');

  const doc = JSON.parse(contents.shift());
  for (const attachment of Object.values(doc._attachments ?? {})) {
    if (!attachment.follows) continue;
    const content = contents.shift();
    attachment.data = attachment.encoding === 'gzip' ? gunzipSync(content) : content;
    for (const key of ['follows', 'encoding', 'encoded_length', 'length', 'digest']) delete attachment[key];
  }
  return doc;
}
