//! SIP and tel URIs to canonical identities: numbering plan, privacy, display names.
