//! The XDP program in the kernel: what it says, what it counts, how it is attached.
//!
//! Where the kernel or missing privileges do not let a program be loaded, each test says that it is skipped.

mod attachment;
mod noise;
mod privileges;
mod setting;
mod table;
