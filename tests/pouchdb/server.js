import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import express from 'express';
import expressPouchDB from 'express-pouchdb';
import { attachmentRanges } from './attachments.js';
import { authentication, sessionRoutes } from './authentication.js';
import { liveChangesRoutes } from './changes.js';
import { Configuration, configurationRoutes } from './configuration.js';
import { Databases, LocalPouchDB, databaseRoutes } from './databases.js';
import { CouchError, answerErrors, sendJson } from './http.js';
import { followReplicatorDatabase, replicateRoutes } from './replication.js';

// Whoever started this process reads one line from stdout; express-pouchdb and map functions write there too.
console.log = console.error;
// express-pouchdb uses `new Buffer()`.
process.noDeprecation = true;

const { values: flags } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    bind: { type: 'string', default: '127.0.0.1' },
    secret: { type: 'string', default: 'couchsecret0123456789' },
    admin: { type: 'string', default: 'admin:secretpw' },
    'require-valid-user': { type: 'boolean', default: false },
    'proxy-use-secret': { type: 'string', default: 'true' },
    'exit-on-stdin-close': { type: 'boolean', default: false },
  },
});

const server = createServer(await couchdb(await configuration(flags)));
// CouchDB keeps idle connections and slow uploads; Node would close them after seconds.
server.keepAliveTimeout = 300_000;
server.requestTimeout = 0;
server.listen(Number(flags.port), flags.bind, () => {
  const { address, port } = server.address();
  // express-pouchdb throws in stray callbacks; one bad request must not take the databases away.
  process.on('uncaughtException', (err) => console.error(err));
  process.stdout.write(`${JSON.stringify({ url: `http://${address}:${port}`, port })}\n`);
});

for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => process.exit(0));
if (flags['exit-on-stdin-close']) process.stdin.on('close', () => process.exit(0)).resume();

async function configuration({ secret, admin, ...flags }) {
  const config = new Configuration({
    chttpd: {
      authentication_handlers: ['cookie', 'proxy', 'default']
        .map((name) => `{chttpd_auth, ${name}_authentication_handler}`)
        .join(', '),
      require_valid_user: String(flags['require-valid-user']),
    },
    chttpd_auth: {
      hash_algorithms: 'sha256, sha',
      // CouchDB's 600000 would cost every test that logs in.
      iterations: '1000',
      pbkdf2_prf: 'sha256',
      proxy_use_secret: flags['proxy-use-secret'],
      secret,
      timeout: '600',
    },
    couchdb: { uuid: randomUUID().replaceAll('-', '') },
  });
  const [name, ...password] = admin.split(':');
  await config.set('admins', name, password.join(':'));
  return config;
}

async function couchdb(config) {
  const pouchApp = expressPouchDB({
    mode: 'minimumForPouchDB',
    overrideMode: {
      include: ['routes/ddoc-info', 'routes/find', 'routes/security', 'validation'],
      // Compression holds feeds back; the others are answered here.
      exclude: ['compression', 'routes/all-dbs', 'routes/root', 'routes/session-stub'],
    },
  });
  await pouchApp.setPouchDB(LocalPouchDB);
  const databases = new Databases();
  await databases.createSystemDatabases();
  followReplicatorDatabase(databases);

  const app = express();
  app.disable('x-powered-by');
  pouchApp.disable('x-powered-by');
  pouchApp.set('etag', revisionTag);
  app.use(requestId);
  app.use(authentication(config, databases));
  app.use(sessionRoutes(config, databases));
  app.use(configurationRoutes(config));
  app.use(serverRoutes(config));
  app.use(replicateRoutes());
  app.use(databaseRoutes(config, databases));
  app.use(liveChangesRoutes(databases));
  app.use(attachmentRanges());
  app.use(pouchApp);
  app.use(answerErrors(config));
  return app;
}

/** CouchDB names each request in its answer, by the client's id if that is acceptable. */
function requestId(req, res, next) {
  const sent = req.get('X-Couch-Request-ID') ?? '';
  const id = /^[\w-]{1,36}$/.test(sent) ? sent : randomUUID().slice(0, 8);
  // But not there.
  if (req.path !== '/_session') res.set('X-Couch-Request-ID', id);
  next();
}

function serverRoutes(config) {
  const router = express.Router();
  router.get('/', (req, res) => sendJson(res, 200, {
    couchdb: 'Welcome',
    version: '3.5.0',
    uuid: config.get('couchdb', 'uuid'),
    features: [],
    vendor: { name: 'express-pouchdb, for the tests of couchgate' },
  }));
  router.get('/_up', (req, res) => sendJson(res, 200, { status: 'ok', seeds: {} }));
  router.get('/_active_tasks', (req, res) => sendJson(res, 200, []));
  router.get('/_uuids', (req, res) => {
    const count = Number(req.query.count ?? 1);
    if (!(count <= 1000)) throw new CouchError(400, 'bad_request', 'count parameter too large');
    sendJson(res, 200, { uuids: Array.from({ length: count }, () => randomUUID().replaceAll('-', '')) });
  });
  return router;
}

/** A document's ETag is its revision; express would hash the body. */
function revisionTag(body) {
  if (body[0] !== '{'.charCodeAt(0)) return undefined;
  const { _rev } = JSON.parse(body);
  return _rev && `"${_rev}"`;
}
