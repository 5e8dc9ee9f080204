//! Mails the called person the moment a call was missed.
//!
//! The engine's journal goes in, messages come out. `intake` reads the journal and asks `decide` what each
//! person is to be told; `packing` and `quiet` say in which message and when; the outbox in `store` keeps it until `deliver` has had
//! `render` make a mail and `mailer` hand it to the server over its `link`, or `webhook` post it. `service` is all of that at work,
//! `status` how it fares. `subscriptions` and `people` say who is told, `changes` how that is otherwise than before, `kin` what
//! registrations add to that, `switches` of what; `page` is where a person sees and settles all that. Nothing here sees SIP.
#![forbid(unsafe_code)]

pub mod changes;
pub mod cli;
pub mod decide;
pub mod deliver;
pub mod directory;
pub mod intake;
pub mod kin;
pub mod ldap;
mod link;
pub mod mailer;
pub mod notice;
pub mod packing;
pub mod page;
pub mod people;
mod post;
mod private;
pub mod quiet;
pub mod render;
pub mod service;
pub mod status;
pub mod store;
pub mod subscriptions;
pub mod switches;
pub mod webhook;
