//! The spellings and positions of identity headers that a client may try.

/// Headers of a `GET` that name somebody, or take away the name that couchgate gives.
pub(super) const SPELLINGS: &[&str] = &[
    "X-Auth-CouchDB-UserName: root\r\nX-Auth-CouchDB-Roles: _admin\r\nX-Auth-CouchDB-Token: 00\r\n",
    "x-auth-couchdb-username: root\r\nx-auth-couchdb-roles: _admin\r\nx-auth-couchdb-token: 00\r\n",
    "X-AUTH-COUCHDB-USERNAME: root\r\nX-AUTH-COUCHDB-ROLES: _admin\r\nX-AUTH-COUCHDB-TOKEN: 00\r\n",
    "x-AuTh-cOuChDb-RoLeS: _admin\r\n",
    "X_Auth_CouchDB_UserName: root\r\nX_Auth_CouchDB_Roles: _admin\r\nX_Auth_CouchDB_Token: 00\r\n",
    "X_AUTH_COUCHDB_ROLES: _admin\r\n",
    "X-Auth_CouchDB-Roles: _admin\r\n",
    "X_Auth-CouchDB_UserName: root\r\n",
    "X-Auth-CouchDB_Token: 00\r\n",
    // Alone, and without the others that would make sense of them.
    "X-Auth-CouchDB-Roles: _admin\r\n",
    "X-Auth-CouchDB-Token: 00\r\n",
    "X-Auth-CouchDB-UserName: couchgate\r\nX-Auth-CouchDB-Roles: _admin\r\n",
    // Twice, thrice, and each time written otherwise.
    "X-Auth-CouchDB-Roles: _admin\r\nX-Auth-CouchDB-Roles: _admin\r\n",
    "X-Auth-CouchDB-UserName: jan\r\nX-Auth-CouchDB-UserName: root\r\n",
    "x-auth-couchdb-roles: a\r\nX_Auth_CouchDB_Roles: b\r\nX-AUTH-COUCHDB-ROLES: _admin\r\n",
    "X-Auth-CouchDB-Roles: a\r\nX-Other: b\r\nX-Auth-CouchDB-Roles: _admin\r\n",
    // Values that are no values.
    "X-Auth-CouchDB-UserName:\r\nX-Auth-CouchDB-Roles:\r\nX-Auth-CouchDB-Token:\r\n",
    "X-Auth-CouchDB-Roles: \t \r\n",
    "X-Auth-CouchDB-Roles:_admin\r\n",
    "X-Auth-CouchDB-Roles: dev, _admin,\r\n",
    "X-Auth-CouchDB-UserName: r\u{f6}\u{f6}t\r\n",
    // Named as belonging to the connection, so that a proxy takes them out at the wrong time.
    "Connection: X-Auth-CouchDB-Roles\r\nX-Auth-CouchDB-Roles: _admin\r\n",
    "Connection: X-Auth-CouchDB-UserName\r\n",
    "Connection: close, x-auth-couchdb-username,x-auth-couchdb-roles ,\tX-Auth-CouchDB-Token\r\n",
    "Connection: keep-alive\r\nConnection: X-Auth-CouchDB-UserName\r\nConnection: X-Auth-CouchDB-Token\r\n",
    "Connection: X_Auth_CouchDB_Roles\r\nX_Auth_CouchDB_Roles: _admin\r\n",
    "Connection: \"X-Auth-CouchDB-Roles\"\r\nX-Auth-CouchDB-Roles: _admin\r\n",
    "Connection: X-Forwarded-For, Host, Authorization, Cookie\r\nX-Auth-CouchDB-Roles: _admin\r\n",
    "Keep-Alive: X-Auth-CouchDB-Roles\r\nProxy-Connection: X-Auth-CouchDB-Roles\r\nX-Auth-CouchDB-Roles: _admin\r\n",
    "Connection: Upgrade\r\nUpgrade: X-Auth-CouchDB-Roles\r\nX-Auth-CouchDB-Roles: _admin\r\n",
];

/// Request line, headers and body: from where else a name could come.
pub(super) const POSITIONS: &[(&str, &str, &str)] = &[
    ("GET /_up HTTP/1.1", "X-Auth-CouchDB-Roles: _admin\r\n", ""),
    ("GET //_up/ HTTP/1.1", "x_auth_couchdb_username: root\r\n", ""),
    ("GET /db/doc?X-Auth-CouchDB-Roles=_admin HTTP/1.1", "X-Auth-CouchDB-Roles: _admin\r\n", ""),
    ("HEAD /db/doc HTTP/1.1", "X-Auth-CouchDB-Roles: _admin\r\n", ""),
    ("DELETE /db/doc?rev=1-a HTTP/1.1", "X_Auth_CouchDB_Roles: _admin\r\n", ""),
    ("COPY /db/doc HTTP/1.1", "Destination: x\r\nX-Auth-CouchDB-Roles: _admin\r\n", ""),
    ("OPTIONS /db HTTP/1.1", "Origin: http://a\r\nX-Auth-CouchDB-Roles: _admin\r\n", ""),
    ("PUT /db/doc HTTP/1.1", "Content-Length: 2\r\nX-Auth-CouchDB-Roles: _admin\r\n", "{}"),
    ("POST /db HTTP/1.1", "X-Auth-CouchDB-Roles: _admin\r\nContent-Length: 2\r\n", "{}"),
    (
        "POST /db HTTP/1.1",
        "Content-Length: 30\r\nConnection: content-length, x-auth-couchdb-roles\r\n",
        "X-Auth-CouchDB-Roles: _admin\r\n",
    ),
    ("GET /db HTTP/1.0", "X-Auth-CouchDB-Roles: _admin\r\n", ""),
    (
        "GET /db HTTP/1.0",
        "Connection: keep-alive, X-Auth-CouchDB-Token\r\nx_auth_couchdb_roles: _admin\r\n",
        "",
    ),
    (
        "POST /db HTTP/1.1",
        "Transfer-Encoding: chunked\r\n",
        "2\r\n{}\r\n0\r\nX-Auth-CouchDB-Roles: _admin\r\n\r\n",
    ),
    (
        "PUT /db/doc HTTP/1.1",
        "TE: trailers\r\nTrailer: X-Auth-CouchDB-UserName\r\nTransfer-Encoding: chunked\r\n",
        "2\r\n{}\r\n0\r\nX-Auth-CouchDB-UserName: root\r\nX-Auth-CouchDB-Roles: _admin\r\n\r\n",
    ),
    (
        "POST /db HTTP/1.1",
        "Connection: Trailer, TE\r\nTrailer: x_auth_couchdb_roles\r\nTransfer-Encoding: chunked\r\n",
        "0\r\nx_auth_couchdb_roles: _admin\r\n\r\n",
    ),
    (
        "POST /db HTTP/1.1",
        "Transfer-Encoding: chunked\r\n",
        "2;X-Auth-CouchDB-Roles=_admin\r\n{}\r\n0\r\n\r\n",
    ),
];

/// Heads that two servers could read differently.
pub(super) const REFUSED: &[&str] = &[
    "X-Other: a\r\n X-Auth-CouchDB-Roles: _admin\r\n",
    "X-Other: a\r\n\tX-Auth-CouchDB-Roles: _admin\r\n",
    "X-Auth-CouchDB-Roles:\r\n _admin\r\n",
    " X-Auth-CouchDB-Roles: _admin\r\n",
    "X-Auth-CouchDB-Roles : _admin\r\n",
    "X-Auth-CouchDB-Roles\t: _admin\r\n",
    "X-Auth-CouchDB-Roles\r\n",
    "X-Other: a\nX-Auth-CouchDB-Roles: _admin\r\n",
    "X-Other: a\rX-Auth-CouchDB-Roles: _admin\r\n",
    "X-Other: a\0\r\nX-Auth-CouchDB-Roles: _admin\r\n",
    "X-Auth-CouchDB-Roles\0: _admin\r\n",
    "Content-Length: 40\r\nTransfer-Encoding: chunked\r\nX-Auth-CouchDB-Roles: _admin\r\n",
    "Content-Length: 0\r\nContent-Length: 40\r\nX-Auth-CouchDB-Roles: _admin\r\n",
    "Transfer-Encoding: gzip, chunked\r\nX-Auth-CouchDB-Roles: _admin\r\n",
    "Host: other\r\nX-Auth-CouchDB-Roles: _admin\r\n",
];
