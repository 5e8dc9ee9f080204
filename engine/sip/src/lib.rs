//! SIP messages out of bytes: zero-copy, one pass, no I/O.
