//! Where frames come from: capture files now, AF_XDP rings next.
