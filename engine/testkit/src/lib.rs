//! Test support: scenario notation, message and capture generator.
