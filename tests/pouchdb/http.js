/** An error in the shape CouchDB gives it on the wire. */
export class CouchError extends Error {
  constructor(status, error, reason) {
    super(reason);
    this.status = status;
    this.error = error;
  }
}

export const unauthorized = (reason) => new CouchError(401, 'unauthorized', reason);

export function requireServerAdmin(req) {
  if (!req.couchSession.userCtx.roles.includes('_admin')) {
    throw unauthorized('You are not a server admin.');
  }
}

export function sendJson(res, status, body) {
  res.status(status);
  // Not res.json(): CouchDB names no charset.
  res.setHeader('Content-Type', 'application/json');
  res.end(`${JSON.stringify(body)}\n`);
}

/** Express 4 does not look at the promise a handler returns. */
export const route = (handler) => (req, res, next) => {
  handler(req, res, next).catch(next);
};

export function answerErrors(config) {
  // Express tells an error handler by its four parameters.
  return (err, req, res, next) => {
    const status = err.status ?? (err instanceof URIError ? 400 : 500);
    if (status >= 500) console.error(req.method, req.originalUrl, err);
    if (res.headersSent) {
      res.destroy();
      return;
    }
    if (status === 401 && config.isTrue('chttpd', 'require_valid_user')) {
      res.setHeader('WWW-Authenticate', 'Basic realm="server"');
    }
    sendJson(res, status, describe(err, status));
  };
}

function describe(err, status) {
  if (err.type === 'entity.parse.failed') return { error: 'bad_request', reason: 'invalid UTF-8 JSON' };
  // PouchDB's errors carry `error: true` and a name in CouchDB's words.
  const error = err.error === true ? err.name : err.error;
  return { error: error ?? (status < 500 ? 'bad_request' : 'unknown_error'), reason: err.message };
}
