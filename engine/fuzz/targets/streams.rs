//! libFuzzer on [`ringtap_fuzz_bodies::streams`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ringtap_fuzz_bodies::streams::run(data));
