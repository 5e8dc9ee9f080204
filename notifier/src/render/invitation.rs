//! The mail with the link that somebody asked for: it tells no call.

use minijinja::context;

use super::{Facts, Renderer, shown_name, wording};
use crate::deliver::Parcel;

impl Renderer {
    /// What the mail with the link of a parcel shows.
    pub(super) fn invitation(&self, parcel: &Parcel) -> Facts {
        let (person, locale) = (&parcel.person, parcel.person.locale);
        Facts {
            form: "link.",
            subject: wording::invitation_subject(locale).to_owned(),
            // One that stands for no other mail: a signature covers this header.
            thread: vec![parcel.call.clone()],
            reasons: String::new(),
            callers: String::new(),
            accounts: String::new(),
            calls: String::new(),
            count: None,
            context: context! {
                lang => locale.as_str(),
                name => shown_name(&person.name),
                preheader => (),
                caller => (),
                link => parcel.links.as_ref().map(|links| links.page.as_str()),
                settings => &self.settings_url,
            },
        }
    }
}
