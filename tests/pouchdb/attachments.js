import { randomUUID } from 'node:crypto';
import { Router } from 'express';
import { CouchError } from './http.js';

/** Parts of attachments, as CouchDB answers Range; express-pouchdb sends the whole, whatever is asked for. */
export function attachmentRanges() {
  const router = Router();
  router.get('/:db/:doc/:attachment(*)', (req, res, next) => {
    const { send } = res;
    // Attachments are the only answers that are bytes.
    res.send = (body) => {
      if (!Buffer.isBuffer(body) || res.statusCode !== 200) return send.call(res, body);
      res.set({ 'Accept-Ranges': 'bytes', 'Cache-Control': 'must-revalidate' });
      if (req.fresh) return send.call(res, body);
      try {
        return send.call(res, partOf(body, req, res));
      } catch (err) {
        return next(err);
      }
    };
    next();
  });
  return router;
}

function partOf(body, req, res) {
  const ranges = req.range(body.length);
  if (ranges === -1) throw new CouchError(416, 'requested_range_not_satisfiable', 'Requested range not satisfiable');
  // CouchDB takes one that begins at the beginning and has no end for none.
  if (!Array.isArray(ranges) || ranges.type !== 'bytes' || /^bytes=0-$/.test(req.headers.range)) return body;

  res.status(206);
  const describe = ({ start, end }) => `bytes ${start}-${end}/${body.length}`;
  const cut = ({ start, end }) => body.subarray(start, end + 1);
  if (ranges.length === 1) {
    res.set('Content-Range', describe(ranges[0]));
    return cut(ranges[0]);
  }
  const boundary = randomUUID().replaceAll('-', '');
  const type = res.get('Content-Type');
  const parts = ranges.flatMap((range) => [
    Buffer.from(`\r\n--${boundary}\r\nContent-Type: ${type}\r\nContent-Range: ${describe(range)}\r\n\r\n`),
    cut(range),
  ]);
  // Not res.set(): express would add a charset.
  res.setHeader('Content-Type', `multipart/byteranges; boundary="${boundary}"`);
  return Buffer.concat([...parts, Buffer.from(`\r\n--${boundary}--`)]);
}
