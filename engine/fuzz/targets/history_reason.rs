//! libFuzzer on [`ringtap_fuzz_bodies::history_reason`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringtap_fuzz_bodies::history_reason::run(data));
