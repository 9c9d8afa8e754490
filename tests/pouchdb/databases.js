import HttpAdapter from 'pouchdb-adapter-http';
import MemoryAdapter from 'pouchdb-adapter-memory';
import authDesignDoc from 'pouchdb-auth/lib/designdoc.js';
import PouchCore from 'pouchdb-core';
import MapReduce from 'pouchdb-mapreduce';
import Replication from 'pouchdb-replication';
import { Router, json } from 'express';
import { CouchError, requireServerAdmin, route, sendJson, unauthorized } from './http.js';
import { inlineAttachments } from './multipart.js';
import { hashUserPassword } from './passwords.js';

export const PouchDB = PouchCore.plugin(HttpAdapter).plugin(MapReduce).plugin(Replication);

// Only the server's own databases: with the adapter forced on PouchDB itself, a URL would name an empty local database.
export const LocalPouchDB = PouchDB.plugin(MemoryAdapter).defaults({ adapter: 'memory' });

// PouchDB hashes a document's JSON for its revision; as lists of numbers, attachments cost seconds for every 10 MB.
Buffer.prototype.toJSON = function toJSON() {
  return this.toString('base64');
};

const SYSTEM_DATABASES = ['_users', '_replicator'];
const SECURITY_DOC = '_local/_security';
const ADMIN_ONLY = { members: { roles: ['_admin'] }, admins: { roles: ['_admin'] } };

/** The databases without express-pouchdb's wrappers: whoever opens one here has checked who is asking. */
export class Databases {
  #open = new Map();

  constructor() {
    LocalPouchDB.on('destroyed', (name) => this.#open.delete(name));
  }

  async createSystemDatabases() {
    for (const name of SYSTEM_DATABASES) await this.create(name);
    await this.open('_users').put(authDesignDoc);
  }

  names() {
    return LocalPouchDB.allDbs();
  }

  /** PouchDB creates what it opens: ask `names()` first. */
  open(name) {
    if (!this.#open.has(name)) this.#open.set(name, new LocalPouchDB(name));
    return this.#open.get(name);
  }

  create(name) {
    return this.open(name).put({ _id: SECURITY_DOC, security: ADMIN_ONLY });
  }

  async security(name) {
    return (await this.open(name).get(SECURITY_DOC)).security;
  }
}

// express-pouchdb drops the "/" from a database name. "~" cannot occur in one, so it stands in for it inside.
const publicName = (name) => name.replaceAll('~', '/');

/** What comes before express-pouchdb: who may do what, as CouchDB says it, and what express-pouchdb would misread. */
export function databaseRoutes(config, databases) {
  const router = Router();

  router.use((req, res, next) => {
    req.url = req.url.replace(/^\/[^/?]*/, (segment) => segment.replaceAll(/%2f/gi, '~'));
    // express-pouchdb guesses the host, and wrongly for most names.
    const { location } = res;
    res.location = (url) => {
      const [, name, rest] = /^\w+:\/\/[^/]*(\/[^/]*)(.*)$/.exec(url);
      return location.call(res, `http://${req.headers.host}${name.replaceAll('~', '%2F')}${rest}`);
    };
    next();
  });

  router.get('/_all_dbs', route(async (req, res) => {
    requireServerAdmin(req);
    sendJson(res, 200, (await databases.names()).map(publicName).sort());
  }));

  router.put('/:db', route(async (req, res) => {
    requireServerAdmin(req);
    const name = req.params.db;
    if (!/^[a-z][a-z0-9_$()+/-]*$/.test(publicName(name)) && !SYSTEM_DATABASES.includes(name)) {
      throw new CouchError(400, 'illegal_database_name', `Name: '${publicName(name)}'. Only lowercase characters (a-z), `
        + 'digits (0-9), and any of the characters _, $, (, ), +, -, and / are allowed. Must begin with a letter.');
    }
    if ((await databases.names()).includes(name)) {
      throw new CouchError(412, 'file_exists', 'The database could not be created, the file already exists.');
    }
    await databases.create(name);
    res.location(`http://host/${name}`);
    sendJson(res, 201, { ok: true });
  }));

  router.use('/:db', route(async (req, res, next) => {
    const name = req.params.db;
    const isDatabase = req.path === '/';
    if (isDatabase && req.method === 'DELETE') requireServerAdmin(req);
    if (!(await databases.names()).includes(name)) throw new CouchError(404, 'not_found', 'Database does not exist.');
    authorize(req, await databases.security(name));
    if (name === '_users' && req.path === '/_security' && req.method === 'PUT') {
      throw new CouchError(403, 'forbidden', "You can't edit the security object of the user database.");
    }
    readAsJson(req);
    next();
  }), inlineAttachments);

  router.get('/:db', route(async (req, res) => {
    const { doc_count, update_seq } = await databases.open(req.params.db).info();
    sendJson(res, 200, { db_name: publicName(req.params.db), doc_count, update_seq, instance_start_time: '0' });
  }));

  const hashPasswords = [json({ limit: Infinity }), route(async (req, res, next) => {
    const docs = Array.isArray(req.body.docs) ? req.body.docs : [req.body];
    for (const doc of docs) await hashUserPassword(config, doc);
    next();
  })];
  router.put('/_users/:id', hashPasswords);
  router.post(['/_users', '/_users/_bulk_docs'], hashPasswords);

  return router;
}

function authorize(req, security) {
  const { userCtx } = req.couchSession;
  const refuse = (reason) => {
    throw userCtx.name === null ? unauthorized(reason) : new CouchError(403, 'forbidden', reason);
  };
  const isIn = ({ names = [], roles = [] } = {}) =>
    names.includes(userCtx.name) || roles.some((role) => userCtx.roles.includes(role));
  const isPublic = ({ names = [], roles = [] } = {}) => names.length + roles.length === 0;

  const isAdmin = userCtx.roles.includes('_admin') || isIn(security.admins);
  if (!isAdmin && !isPublic(security.members) && !isIn(security.members)) {
    refuse(`You are not ${userCtx.name === null ? 'authorized' : 'allowed'} to access this db.`);
  }
  const path = decodeURIComponent(req.path);
  const writes = !['GET', 'HEAD'].includes(req.method);
  if (!isAdmin && writes && /^\/(_design\/(?!.*\/_view\/)|_security|_index|_compact|_view_cleanup)/.test(path)) {
    refuse('You are not a db or server admin.');
  }
  if (path.startsWith(`/${SECURITY_DOC}`)) throw new CouchError(404, 'not_found', 'missing');
}

/** CouchDB takes a document's PUT for JSON whatever its type says; express-pouchdb would store an empty document. */
function readAsJson(req) {
  const type = req.headers['content-type'];
  if (/^application\/json/.test(type)) return;
  if (req.method === 'PUT' && /^\/((_design|_local)\/)?[^/]+$/.test(req.path)) {
    if (!/^multipart\/related/.test(type)) req.headers['content-type'] = 'application/json';
  } else if (req.method === 'POST' && type !== undefined) {
    throw new CouchError(415, 'bad_content_type', 'Content-Type must be application/json');
  }
}
