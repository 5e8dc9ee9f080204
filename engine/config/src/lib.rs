//! ringtap.toml: raw text to checked configuration, for both programs.
