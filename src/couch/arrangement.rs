//! Proving that CouchDB and couchgate are set up for each other.

use std::fmt;

use http::StatusCode;
use serde::Deserialize;

use super::client::{Couch, CouchError, Reply};
use crate::user_ctx::Identity;

/// A user that exists nowhere; CouchDB must not believe that it is asking.
const FORGED_USER: &str = "couchgate-forged-user";

/// What a probe found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrangement {
    /// What is wrong, the worst first; nothing when all is well.
    pub findings: Vec<Finding>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// There is no answer.
    Unreachable(String),
    /// The answer is not CouchDB's.
    NotCouch(String),
    /// CouchDB does not believe couchgate.
    ServiceUserRefused {
        /// Whether CouchDB's handlers lack the one that reads the headers.
        handler_missing: bool,
    },
    /// CouchDB believes anyone.
    ForgedUserAccepted,
}

impl Arrangement {
    /// Whether requests can be served: CouchDB answers and believes couchgate.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.findings.iter().all(|finding| *finding == Finding::ForgedUserAccepted)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(reason) => write!(f, "upstream cannot be asked: {reason}"),
            Self::NotCouch(reason) => write!(f, "upstream is not a CouchDB: {reason}"),
            Self::ServiceUserRefused { handler_missing: true } => f.write_str(
                "upstream does not accept couchgate's service user: CouchDB's [chttpd] \
                 authentication_handlers lacks {chttpd_auth, proxy_authentication_handler}",
            ),
            Self::ServiceUserRefused { handler_missing: false } => f.write_str(
                "upstream does not accept couchgate's service user: [chttpd_auth] secret must be \
                 the same in CouchDB and couchgate, hash_algorithms must share its first entry, \
                 and x_auth_username, x_auth_roles and x_auth_token must be equal",
            ),
            Self::ForgedUserAccepted => f.write_str(
                "upstream trusts identity headers without a token: anyone who reaches CouchDB \
                 directly is whoever he says; set [chttpd_auth] proxy_use_secret = true in CouchDB",
            ),
        }
    }
}

#[derive(Deserialize)]
struct Session {
    #[serde(rename = "userCtx")]
    user_ctx: SessionUser,
    #[serde(default)]
    info: SessionInfo,
}

#[derive(Deserialize)]
struct SessionUser {
    name: Option<String>,
    roles: Vec<String>,
}

#[derive(Default, Deserialize)]
struct SessionInfo {
    #[serde(default)]
    authentication_handlers: Vec<String>,
}

/// Asks CouchDB who couchgate is, and whether it believes a forged header.
pub async fn probe(couch: &Couch) -> Arrangement {
    let session = match couch.get("/_session").await.map(|reply| session(&reply)) {
        Ok(Ok(session)) => session,
        Ok(Err(finding)) => return Arrangement { findings: vec![finding] },
        Err(error) => {
            return Arrangement { findings: vec![Finding::Unreachable(error.to_string())] };
        }
    };
    let mut findings = Vec::new();
    if forged_user_is_accepted(couch).await {
        findings.push(Finding::ForgedUserAccepted);
    }
    let accepted = session.as_ref().is_some_and(|session| {
        session.user_ctx.name.as_deref() == Some(couch.service_user().name())
            && session.user_ctx.roles.iter().any(|role| role == "_admin")
    });
    if !accepted {
        let handlers = session.map(|session| session.info.authentication_handlers);
        let handler_missing =
            handlers.is_some_and(|handlers| !handlers.iter().any(|handler| handler == "proxy"));
        findings.push(Finding::ServiceUserRefused { handler_missing });
    }
    Arrangement { findings }
}

/// `None` where CouchDB wants to know who is asking.
fn session(reply: &Reply) -> Result<Option<Session>, Finding> {
    match reply.status {
        StatusCode::OK => serde_json::from_slice(&reply.body).map(Some).map_err(|error| {
            Finding::NotCouch(format!("GET /_session answers no session: {error}"))
        }),
        StatusCode::UNAUTHORIZED => Ok(None),
        status => Err(Finding::NotCouch(format!("GET /_session answers {status}"))),
    }
}

async fn forged_user_is_accepted(couch: &Couch) -> bool {
    let Ok(forged) = Identity::new(FORGED_USER, ["_admin"]) else { return false };
    let reply: Result<Reply, CouchError> = couch.get_as("/_session", Some((&forged, None))).await;
    let session = reply.ok().and_then(|reply| session(&reply).ok()).flatten();
    session.is_some_and(|session| session.user_ctx.name.is_some())
}
