//! SIP and tel URIs to canonical identities: numbering plan, privacy, display names.
//!
//! [`Plan`] turns a URI or a written number into an [`Identity`], the one text under which a caller
//! or a callee is known everywhere. [`called`], [`caller`], [`diversions`] read the identities of one
//! message by the precedences of semantics.md §3; [`registration`] reads who registered where. What several messages of a call say together is
//! the business of `ringtap-calls`; who owns an identity, of the notifier.
//!
//! Both programs use this crate, so that a subscription and a call can only mean the same by the same
//! rules. It does no I/O and keeps nothing between messages.

#![forbid(unsafe_code)]

mod called;
mod caller;
mod contact;
mod display;
mod diversion;
mod identity;
mod mask;
pub mod name;
mod numbering;
mod party;
mod plan;
mod privacy;
mod reginfo;
mod registration;
mod rules;
mod segment;
mod tail;

pub use called::{Called, CalledSource, asserted_callee, called, callee, dialled, party};
pub use caller::{CallerClaim, ClaimSource, NameFrom, caller, caller_from};
pub use contact::{CONTACT_BYTES_MAX, Contact};
pub use diversion::{Diversion, HISTORY_ENTRIES_MAX, diversions, history_targets};
pub use identity::{IDENTITY_BYTES_MAX, Identity, Kind};
pub use mask::{LogNumbers, mask};
pub use numbering::{Numbering, NumberingRule, PlanError, RuleKind, Scope, Then};
pub use party::Named;
pub use plan::{Plan, dialled_user};
pub use privacy::{Privacy, withheld};
pub use registration::{
    CONTACTS_MAX, ImplicitSet, Registered, RegisteredContact, Registration, SET_MEMBERS_MAX, Unreadable,
    is_registration, registration,
};
pub use segment::{Segment, UnknownSegment};
