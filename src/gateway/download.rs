//! The way of a download: somebody who is nobody to CouchDB gets one attachment.

use http::{Request, Response, Uri, Version, request, uri::PathAndQuery};

use super::{Gateway, Refusal, give_back};
use crate::{
    answer::Answer,
    auth::Client,
    headers::{keep_for_download, open_to_any_origin},
    request_id::RequestId,
    target::Target,
    telemetry::Record,
    upstream::RequestBody,
    user_ctx::UserCtx,
};

impl Gateway {
    /// Fetches the attachment as the service user. Nothing of the client's request goes with it but
    /// the method and what chooses among the attachment's bytes.
    pub(super) async fn download(
        &self,
        mut head: request::Parts,
        request_id: &RequestId,
        (user, target): (UserCtx, PathAndQuery),
        client: Client,
        record: &mut Record,
    ) -> Result<Response<Answer>, Refusal> {
        head.version = Version::HTTP_11;
        head.uri = Uri::from(target.clone());
        keep_for_download(&mut head.headers);
        self.identify(&mut head, Some(&user), client);
        record.forwarded();
        let request = Request::from_parts(head, RequestBody::Empty);
        let response = self.upstream.send(request, request_id).await?;
        record.answered();
        let target = Target::new(target);
        let mut response = give_back(response.map(|body| Answer::upstream(body, &target)), None);
        open_to_any_origin(response.headers_mut());
        Ok(response)
    }
}
