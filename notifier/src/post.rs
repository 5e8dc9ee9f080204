//! Messages on the channel `webhook`.

use std::sync::Arc;

use crate::deliver::{Answer, Carrier, Parcel};
use crate::render::Renderer;
use crate::store;
use crate::webhook::{Body, Call, Directory, Kind, Reached, Webhook};

/// Posts messages, one after the other, over connections that all posts share.
pub(crate) struct Post {
    pub(crate) webhook: Arc<Webhook>,
    pub(crate) renderer: Arc<Renderer>,
}

impl Carrier for Post {
    fn carry(&mut self, parcel: &Parcel) -> Answer {
        let text = match self.renderer.text(parcel) {
            Ok(text) => text,
            Err(fault) => return Answer::Broken(fault.to_string()),
        };
        let kind = match parcel.kind {
            store::Kind::Call => Kind::Call,
            store::Kind::Summary => Kind::Summary,
            store::Kind::Digest => Kind::Digest,
            store::Kind::Link => return Answer::Broken("links go by mail alone".to_owned()),
        };
        let mut body = Body::new(self.renderer.name(parcel), kind, &parcel.person, text);
        body.more = parcel.told.more;
        body.calls = parcel
            .told
            .calls
            .iter()
            .map(|call| {
                let locale = parcel.person.locale;
                let outcome = self.renderer.outcome(locale, &call.notice, &parcel.known);
                let mut told = Call::new(&call.notice, outcome);
                told.directory = Directory::of(&call.notice, &parcel.known);
                told.reached = call.reached.map(|reached| Reached {
                    at: reached.at,
                    back: reached.back,
                });
                told
            })
            .collect();
        self.webhook.send(&body)
    }
}
