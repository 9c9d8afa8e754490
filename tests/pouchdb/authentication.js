import { createHmac } from 'node:crypto';
import { Router, json, urlencoded } from 'express';
import { CouchError, route, sendJson, unauthorized } from './http.js';
import { equal, parseAdmin, verifyPassword } from './passwords.js';

const WRONG_CREDENTIALS = 'Name or password is incorrect.';

/** Tries the configured handlers in turn and leaves the user context where express-pouchdb looks for it. */
export function authentication(config, databases) {
  const handlers = {
    cookie: async (req, res) => {
      const value = /(?:^|;)\s*AuthSession="?([^;"]*)/.exec(req.headers.cookie ?? '')?.[1];
      if (!value) return undefined;
      const { name, time, mac } = parseSession(value);
      const account = await findAccount(config, databases, name);
      const timeout = Number(config.get('chttpd_auth', 'timeout'));
      const age = now() - Number.parseInt(time, 16);
      if (!account || !(age < timeout)) return undefined;
      const secret = config.get('chttpd_auth', 'secret') + account.salt;
      if (!macs(config, secret, `${name}:${time}`).some((expected) => equal(expected, mac))) return undefined;
      if (age > timeout / 10) setSession(res, config, sessionValue(config, name, account.salt));
      return { name, roles: account.roles };
    },
    proxy: async (req) => {
      const name = utf8(req.headers['x-auth-couchdb-username']);
      if (name === undefined) return undefined;
      if (config.isTrue('chttpd_auth', 'proxy_use_secret')) {
        const token = req.headers['x-auth-couchdb-token'] ?? '';
        const expected = macs(config, config.get('chttpd_auth', 'secret'), name);
        if (!expected.some((mac) => equal(mac.toString('hex'), token))) return undefined;
      }
      return { name, roles: splitRoles(utf8(req.headers['x-auth-couchdb-roles'])) };
    },
    default: async (req) => {
      const encoded = /^Basic (.*)$/.exec(req.headers.authorization ?? '')?.[1];
      const pair = /^([^:]*):(.*)$/s.exec(Buffer.from(encoded ?? '', 'base64').toString());
      if (!pair || pair[0] === '_:_') return undefined;
      const [, name, password] = pair;
      const account = await findAccount(config, databases, name);
      if (!account || !(await verifyPassword(account, password))) throw unauthorized(WRONG_CREDENTIALS);
      return { name, roles: account.roles };
    },
  };

  return route(async (req, res, next) => {
    req.couchSession = { userCtx: { name: null, roles: [] } };
    for (const handler of configuredHandlers(config)) {
      const userCtx = await handlers[handler]?.(req, res);
      if (userCtx) {
        req.couchSession = { userCtx, authenticated: handler };
        return next();
      }
    }
    const isLogin = req.method === 'POST' && req.path === '/_session';
    if (config.isTrue('chttpd', 'require_valid_user') && !isLogin) throw unauthorized('Authentication required.');
    next();
  });
}

export function sessionRoutes(config, databases) {
  const router = Router();
  router.get('/_session', (req, res) => {
    const { userCtx, authenticated } = req.couchSession;
    const info = { authentication_handlers: configuredHandlers(config), authenticated };
    sendJson(res, 200, { ok: true, userCtx, info });
  });
  router.post('/_session', urlencoded({ extended: false }), json(), route(async (req, res) => {
    if (!req.is(['json', 'urlencoded'])) {
      const types = "'application/x-www-form-urlencoded' or 'application/json'";
      throw new CouchError(415, 'bad_content_type', `Content-Type must be ${types}`);
    }
    const { name = req.body.username, password = '' } = req.body;
    if (name === undefined) throw new CouchError(400, 'bad_request', 'request body must contain a username');
    const account = await findAccount(config, databases, name);
    if (!account || !(await verifyPassword(account, password))) {
      setSession(res, config, '');
      throw unauthorized(WRONG_CREDENTIALS);
    }
    setSession(res, config, sessionValue(config, name, account.salt));
    sendJson(res, 200, { ok: true, name, roles: account.roles });
  }));
  router.delete('/_session', (req, res) => {
    setSession(res, config, '');
    sendJson(res, 200, { ok: true });
  });
  router.all('/_session', (req, res) => {
    res.setHeader('Allow', 'GET,HEAD,POST,DELETE');
    throw new CouchError(405, 'method_not_allowed', 'Only GET,HEAD,POST,DELETE allowed');
  });
  return router;
}

async function findAccount(config, databases, name) {
  const admin = parseAdmin(config.get('admins', name));
  const user = await databases.open('_users').get(`org.couchdb.user:${name}`, { conflicts: true }).catch((err) => {
    if (err.status === 404) return undefined;
    throw err;
  });
  if (user?._conflicts) {
    throw unauthorized('User document conflicts must be resolved before the document is used for authentication purposes.');
  }
  return admin ? { ...admin, roles: ['_admin', ...(user?.roles ?? [])] } : user;
}

const configuredHandlers = (config) =>
  [...config.get('chttpd', 'authentication_handlers').matchAll(/(\w+)_authentication_handler/g)].map(([, name]) => name);

const now = () => Math.floor(Date.now() / 1000);

/** One HMAC per configured algorithm: the first is the one to sign with, any of them is accepted. */
function macs(config, key, data) {
  const algorithms = config.get('chttpd_auth', 'hash_algorithms').split(/\s*,\s*/);
  return algorithms.map((name) => createHmac(name === 'sha' ? 'sha1' : name, key).update(data).digest());
}

function parseSession(value) {
  // The last field is the raw bytes of an HMAC, so the whole is no UTF-8 text.
  const fields = /^([^:]*):([^:]*):(.*)$/s.exec(Buffer.from(value, 'base64url').toString('latin1'));
  if (!fields || !/^[\w-]+$/.test(value)) {
    throw new CouchError(400, 'bad_request', 'Malformed AuthSession cookie. Please clear your cookies.');
  }
  const [, name, time, mac] = fields;
  return { name: utf8(name), time, mac: Buffer.from(mac, 'latin1') };
}

function sessionValue(config, name, salt) {
  const data = `${name}:${now().toString(16).toUpperCase()}`;
  const [mac] = macs(config, config.get('chttpd_auth', 'secret') + salt, data);
  return Buffer.concat([Buffer.from(`${data}:`), mac]).toString('base64url');
}

function setSession(res, config, value) {
  const timeout = Number(config.get('chttpd_auth', 'timeout'));
  const expires = new Date(Date.now() + timeout * 1000).toUTCString();
  res.setHeader('Set-Cookie', `AuthSession=${value}; Version=1; Expires=${expires}; Max-Age=${timeout}; Path=/; HttpOnly`);
}

/** Node hands header values out as Latin-1; names and roles are UTF-8. */
const utf8 = (value) => (value === undefined ? undefined : Buffer.from(value, 'latin1').toString());

/** As Erlang's re:split with `trim`: empty parts at the end fall away, but an empty header is one empty role. */
function splitRoles(header) {
  if (!header) return header === undefined ? [] : [''];
  const roles = header.split(/\s*,\s*/);
  while (roles.at(-1) === '') roles.pop();
  return roles;
}
