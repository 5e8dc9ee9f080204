//! Mails the called person the moment a call was missed.
//!
//! The engine's journal goes in, mails come out. `intake` reads the journal and asks `decide` what each
//! person is to be told; the outbox in `store` keeps it until `service` has had `render` make a mail and
//! `mailer` hand it to the server over its `link`. `subscriptions` and `people` say who is told, `kin` what
//! registrations add to that, `switches` of what. Nothing here sees SIP.
#![forbid(unsafe_code)]

pub mod cli;
pub mod decide;
pub mod intake;
pub mod kin;
mod link;
pub mod mailer;
pub mod notice;
pub mod people;
pub mod render;
pub mod service;
pub mod store;
pub mod subscriptions;
pub mod switches;
