//! Leg table, settler and verdict: messages in, call records out.
