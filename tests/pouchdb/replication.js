import { createHash, randomUUID } from 'node:crypto';
import { Router, json } from 'express';
import { PouchDB } from './databases.js';
import { CouchError, route, sendJson, unauthorized } from './http.js';

/** Replications run over HTTP on both ends, so that each end is asked with the credentials named for it. */
class Replications {
  #running = new Map();

  async start(spec) {
    const id = replicationId(spec);
    const [source, target] = [await connect(spec.source), await connect(spec.target, spec.create_target)];
    const { continuous, doc_ids, filter, query_params, selector, since_seq, checkpoint_interval } = spec;
    const replication = PouchDB.replicate(source, target, {
      live: continuous, retry: continuous, doc_ids, filter, query_params, selector, since: since_seq, checkpoint_interval,
    });
    this.#running.set(id, replication);
    const done = replication.then(
      (result) => report(result),
      (err) => {
        throw new CouchError(err.status ?? 500, err.name ?? 'error', err.message ?? 'replication failed');
      },
    );
    done.catch(() => {}).finally(() => {
      // The same replication may have been cancelled and started anew.
      if (this.#running.get(id) === replication) this.#running.delete(id);
    });
    return { id, done };
  }

  cancel(id) {
    const replication = this.#running.get(id);
    replication?.cancel();
    return replication !== undefined;
  }
}

export function replicateRoutes() {
  const replications = new Replications();
  const router = Router();
  router.post('/_replicate', json({ limit: Infinity }), route(async (req, res) => {
    if (req.couchSession.userCtx.name === null) throw unauthorized('You are not an authenticated user');
    if (req.body.cancel) {
      const id = req.body.replication_id ?? replicationId(withEndpoints(req));
      if (!replications.cancel(id)) throw new CouchError(404, 'not_found', 'missing');
      return sendJson(res, 200, { ok: true, _local_id: id });
    }
    const { id, done } = await replications.start(withEndpoints(req));
    if (req.body.continuous) return sendJson(res, 202, { ok: true, _local_id: id });
    sendJson(res, 200, { ok: true, ...(await done) });
  }));
  return router;
}

/** Starts what stands in the replicator database, and writes down how it ended. */
export function followReplicatorDatabase(databases) {
  const replications = new Replications();
  const jobs = new Map();
  const db = databases.open('_replicator');

  const record = async (id, fields) => {
    const doc = await db.get(id);
    await db.put({ ...doc, ...fields, _replication_state_time: new Date().toISOString() });
  };
  const run = async (doc, job) => {
    try {
      for (const end of [doc.source, doc.target]) {
        if (!isUrl(end?.url ?? end)) throw new CouchError(400, 'error', 'local_endpoints_not_supported');
      }
      const { id, done } = await replications.start(doc);
      job.id = id;
      const { history: [{ docs_read, docs_written, doc_write_failures }] } = await done;
      const stats = { docs_read, docs_written, doc_write_failures };
      if (!job.cancelled) await record(doc._id, { _replication_state: 'completed', _replication_stats: stats });
    } catch (err) {
      const reason = `${err.error}: ${err.message}`;
      if (!job.cancelled) await record(doc._id, { _replication_state: 'failed', _replication_state_reason: reason });
    }
  };

  db.changes({ live: true, since: 'now', include_docs: true }).on('change', ({ id, doc }) => {
    if (id.startsWith('_design/') || ['completed', 'failed'].includes(doc._replication_state)) return;
    const previous = jobs.get(id);
    if (previous) {
      previous.cancelled = true;
      replications.cancel(previous.id);
    }
    jobs.delete(id);
    if (doc._deleted) return;
    const job = {};
    jobs.set(id, job);
    run(doc, job).catch((err) => console.error('replicator database', id, err));
  });
}

const isUrl = (value) => /^https?:\/\//.test(value);

const withEndpoints = (req) =>
  ({ ...req.body, source: asEndpoint(req, req.body.source), target: asEndpoint(req, req.body.target) });

/** CouchDB makes a local name a URL of its own, asked with the Authorization and the session cookie of the client. */
function asEndpoint(req, end) {
  const url = end?.url ?? end;
  if (typeof url !== 'string') throw new CouchError(400, 'bad_request', 'source and target must be a name or a URL');
  if (isUrl(url)) return end;
  const { authorization, cookie } = req.headers;
  const { localAddress, localPort } = req.socket;
  return { url: `http://${localAddress}:${localPort}/${encodeURIComponent(url)}`, headers: { authorization, cookie } };
}

async function connect(end, create = false) {
  const { url, headers = {}, auth } = typeof end === 'string' ? { url: end } : end;
  const given = new Headers(Object.entries(headers).filter(([, value]) => value !== undefined));
  if (auth?.basic) {
    const { username, password } = auth.basic;
    given.set('Authorization', `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`);
  }
  const fetchWithHeaders = (input, options = {}) => {
    const all = new Headers(options.headers);
    given.forEach((value, name) => all.set(name, value));
    return PouchDB.fetch(input, { ...options, headers: all });
  };
  const db = new PouchDB(url, { skip_setup: !create, fetch: fetchWithHeaders });
  const info = await db.info();
  if (info.error === 'unauthorized' || info.error === 'forbidden') {
    throw unauthorized(`unauthorized to access or create database ${url}`);
  }
  if (info.error) throw new CouchError(404, 'db_not_found', `could not open ${url}`);
  return db;
}

function replicationId({ source, target, continuous, create_target, doc_ids, filter, query_params, selector }) {
  const identity = JSON.stringify([source, target, continuous, create_target, doc_ids, filter, query_params, selector]);
  return createHash('md5').update(identity).digest('hex');
}

function report({ start_time, end_time, docs_read, docs_written, doc_write_failures, last_seq }) {
  const session_id = randomUUID().replaceAll('-', '');
  const seqs = { recorded_seq: last_seq, end_last_seq: last_seq };
  return {
    session_id,
    source_last_seq: last_seq,
    replication_id_version: 4,
    history: [{ session_id, start_time, end_time, docs_read, docs_written, doc_write_failures, ...seqs }],
  };
}
