//! The SQLite journal of call records: one writer, many readers.
