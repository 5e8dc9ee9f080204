//! Mails the called person the moment a call was missed.
