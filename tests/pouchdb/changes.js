import { Router, json } from 'express';
import { route } from './http.js';

const LONGEST_WAIT = 60_000;

const FEEDS = {
  continuous: {
    type: 'application/json',
    change: (change) => `${JSON.stringify(change)}\n`,
    heartbeat: '\n',
    end: (seq) => `${JSON.stringify({ last_seq: seq, pending: 0 })}\n`,
  },
  eventsource: {
    type: 'text/event-stream',
    change: (change) => `data: ${JSON.stringify(change)}\nid: ${JSON.stringify(change.seq)}\n\n`,
    heartbeat: 'event: heartbeat\ndata: \n\n',
    end: () => '',
  },
  longpoll: {
    type: 'application/json',
    start: '{"results":[\n',
    separator: ',\n',
    change: (change) => JSON.stringify(change),
    heartbeat: '\n',
    end: (seq) => `\n],\n"last_seq":${JSON.stringify(seq)},"pending":0}\n`,
  },
};

/** express-pouchdb ends no feed when its client goes away, knows no timeout, and holds the first bytes back. */
export function liveChangesRoutes(databases) {
  const router = Router();
  const serve = route(async (req, res, next) => {
    const feed = FEEDS[req.query.feed];
    if (!feed) return next();
    const query = Object.fromEntries(Object.entries(req.query).map(([key, value]) => [key, parse(value)]));
    await follow(databases.open(req.params.db), { ...query, ...req.body, query_params: query }, feed, res);
  });
  router.get('/:db/_changes', serve);
  router.post('/:db/_changes', json({ limit: Infinity }), serve);
  return router;
}

async function follow(db, { feed, heartbeat, timeout, limit = Infinity, filter, ...query }, format, res) {
  // PouchDB takes the list of ids as the whole filter.
  const options = { ...query, filter: filter === '_doc_ids' ? undefined : filter, return_docs: false };
  const past = await db.changes({ ...options, limit: Number.isFinite(limit) ? limit : undefined, return_docs: true });
  let lastSeq = past.last_seq;
  let rows = 0;
  let timer;
  let live;

  const isOver = () => rows >= limit || (feed === 'longpoll' && rows > 0);
  const write = (change) => {
    res.write((rows > 0 && format.separator ? format.separator : '') + format.change(change));
    lastSeq = change.seq;
    rows += 1;
  };
  const end = () => {
    clearTimeout(timer);
    live?.cancel();
    if (!res.writableEnded) res.end(format.end(lastSeq));
  };
  const wait = () => {
    clearTimeout(timer);
    if (heartbeat) {
      timer = setTimeout(() => {
        res.write(format.heartbeat);
        wait();
      }, heartbeat === true ? LONGEST_WAIT : Math.min(LONGEST_WAIT, heartbeat));
    } else {
      timer = setTimeout(end, Math.min(LONGEST_WAIT, timeout ?? LONGEST_WAIT));
    }
  };

  res.setHeader('Content-Type', format.type);
  // CouchDB too shows at once that the feed is open.
  res.write(format.start ?? '\n');
  past.results.forEach(write);
  if (isOver()) return end();

  wait();
  live = db.changes({ ...options, since: past.last_seq, live: true });
  live.on('change', (change) => {
    write(change);
    if (isOver()) end();
    else wait();
  });
  live.on('error', (err) => {
    console.error('changes feed', err);
    end();
  });
  // The database was deleted.
  live.on('complete', end);
  res.on('close', end);
}

function parse(value) {
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}
